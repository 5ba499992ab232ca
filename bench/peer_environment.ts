// LibTorch takes large blocks from the system and gives them back for every tensor, and pays for the page faults: a user who knows sets
// these two, so the peers get them.
const favourable = { MALLOC_TRIM_THRESHOLD_: '4294967296', MALLOC_MMAP_THRESHOLD_: '4294967296' }

/** The environment of a program that uses PyTorch. OpenMP and MKL read their number of threads at start. */
export const peerEnvironment = (threads: number): NodeJS.ProcessEnv => ({
  ...process.env,
  ...favourable,
  OMP_NUM_THREADS: `${threads}`,
  MKL_NUM_THREADS: `${threads}`,
})

import { spawnSync } from 'node:child_process'

// A library that is no add-on loads and is then refused for not registering itself: that refusal means it loads.
const script = `
try {
  process.dlopen({ exports: {} }, process.argv[1], os.constants.dlopen.RTLD_NOW)
} catch (error) {
  if (!/did not self-register/.test(error.message)) process.stdout.write(error.message)
}
`

/** Why a library or add-on does not load in a process of its own, in the loader's words; undefined when it does. */
export function loadFailure(file: string): string | undefined {
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' }
  const run = spawnSync(process.execPath, ['-e', script, file], { encoding: 'utf8', env })
  if (run.error) return run.error.message
  if (run.stdout) return run.stdout.trim()
  return run.status === 0 ? undefined : `loading it ended the process with ${run.signal ?? `status ${run.status}`}`
}

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'

// A library that is no add-on loads and is then refused for not registering itself: that refusal means it loads.
const script = `
try {
  process.dlopen({ exports: {} }, process.argv[1], os.constants.dlopen.RTLD_NOW)
} catch (error) {
  if (!/did not self-register/.test(error.message)) process.stdout.write(error.message)
}
`

const machines: Record<number, string> = {
  3: 'x86',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x86-64',
  183: 'arm64',
  243: 'riscv64',
}

/** The machine that an ELF file is made for; undefined for another kind of file. */
function machineOf(file: string): string | undefined {
  const header = Buffer.alloc(20)
  try {
    const descriptor = openSync(file, 'r')
    try {
      readSync(descriptor, header)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return undefined // the loader will say why
  }
  if (header.toString('latin1', 0, 4) !== '\x7fELF') return undefined
  const machine = header.readUInt16LE(18)
  return machines[machine] ?? `ELF machine ${machine}`
}

/** The loader calls a library for another machine a file that does not exist. */
function wrongMachine(file: string): string | undefined {
  const [own, its] = [machineOf(process.execPath), machineOf(file)]
  return own && its && own !== its ? `it is made for ${its}, and this Node.js for ${own}` : undefined
}

/** Why a library or add-on does not load in a process of its own, in the loader's words; undefined when it does. */
export function loadFailure(file: string): string | undefined {
  const wrong = wrongMachine(file)
  if (wrong) return wrong
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' }
  const run = spawnSync(process.execPath, ['-e', script, file], { encoding: 'utf8', env })
  if (run.error) return run.error.message
  if (run.stdout) return run.stdout.trim()
  if (run.signal === 'SIGBUS') return 'the file is cut short'
  return run.status === 0 ? undefined : `loading it ended the process with ${run.signal ?? `status ${run.status}`}`
}

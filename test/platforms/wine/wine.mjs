// Runs programs of Windows by Wine, Debian's package wine64.
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zigCompiler } from '../../../scripts/prebuild/zig.mjs'

const wine64 = '/usr/lib/wine/wine64' // Debian does not put it on the PATH
const timeLimit = 10 * 60_000 // milliseconds per program: one that hangs is a failure
const source = join(dirname(fileURLToPath(import.meta.url)), 'bcryptprimitives.c')

/** Wine 8 lacks a library of Windows that sharp needs. */
function addMissingLibrary(prefix) {
  const file = join(prefix, 'drive_c/windows/system32/bcryptprimitives.dll')
  if (existsSync(file)) return
  const { command, env } = zigCompiler()
  const args = ['cc', '-target', 'x86_64-windows-gnu', '-shared', '-nostdlib', '-O1', '-o', file, source, '-ladvapi32']
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', env })
  if (status !== 0) throw new Error(`zig cannot compile ${source}: ${stderr}`)
}

/** Wine's programs write nothing to a pipe, so the output goes to a file. */
function runToFile(args, { cwd, env, output }) {
  const file = openSync(output, 'w')
  return new Promise((done) => {
    const child = spawn(wine64, args, { cwd, env, stdio: ['ignore', file, file], timeout: timeLimit, killSignal: 'SIGKILL' })
    const finish = (status, ending) => done({ status, ending, output: readFileSync(output, 'utf8').replaceAll('\r', '') })
    child.on('error', (error) => finish(null, error.message))
    child.on('close', (status, signal) => finish(status, signal ? `ended by ${signal}` : `exit status ${status}`))
  }).finally(() => closeSync(file))
}

/** See platforms.mjs. */
export async function wine(folder) {
  if (!existsSync(wine64)) return { missing: 'there is no Wine: apt-get install wine64' }
  if (!zigCompiler()) return { missing: 'there is no zig, which npm run prebuild:all installs' }
  const prefix = join(folder, 'wine')
  mkdirSync(prefix)
  const env = { ...process.env, WINEPREFIX: prefix, WINEARCH: 'win64', WINEDEBUG: '-all' }
  const output = join(folder, 'output')
  const run = (program, args, cwd) => runToFile([program, ...args], { cwd, env, output })
  const made = await run('winecfg', ['-v', 'win10'], folder)
  if (made.status !== 0) throw new Error(`Wine cannot make a folder for its files (${made.ending}): ${made.output}`)
  addMissingLibrary(prefix)
  const stop = () => {
    spawnSync('/usr/lib/wine/wineserver64', ['-k'], { env })
    rmSync(prefix, { recursive: true, force: true })
  }
  return { run, stop }
}

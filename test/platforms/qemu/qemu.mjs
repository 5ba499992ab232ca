// Runs programs of arm64 Linux by qemu, Debian's packages qemu-user-static and libc6-arm64-cross (part of g++-aarch64-linux-gnu).
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const emulator = 'qemu-aarch64-static'
const system = '/usr/aarch64-linux-gnu' // the C library of Debian's cross compiler
const timeLimit = 20 * 60_000 // milliseconds per program: one that hangs is a failure

function runProgram(args, cwd) {
  return new Promise((done) => {
    const child = spawn(emulator, ['-L', system, '-cpu', 'max', ...args], { cwd, timeout: timeLimit, killSignal: 'SIGKILL' })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk
      })
    child.on('error', (error) => done({ status: null, ending: error.message, output }))
    child.on('close', (status, signal) =>
      done({ status, ending: signal ? `ended by ${signal}` : `exit status ${status}`, output }),
    )
  })
}

/** See platforms.mjs. */
export async function qemu() {
  if (spawnSync(emulator, ['--version']).error) return { missing: 'there is no qemu: apt-get install qemu-user-static' }
  if (!existsSync(system)) return { missing: `there is no ${system}: apt-get install g++-aarch64-linux-gnu` }
  return { run: (program, args, cwd) => runProgram([program, ...args], cwd), stop: () => {} }
}

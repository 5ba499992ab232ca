// Runs the programs of the tests.
import { spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

const timeLimit = 20 * 60_000 // milliseconds per process: a test that hangs is a failure

/**
 * Runs a program, prints its output as it comes unless `quiet`, and returns the output. Runs it in this process's environment with the
 * changes of `env`; undefined removes a variable.
 */
export function run(command, args, { quiet = false, env = {} } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      timeout: timeLimit,
      killSignal: 'SIGKILL',
    })
    let output = ''
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.on('data', (chunk) => {
        output += chunk
        if (!quiet) to.write(chunk)
      })
    }
    child.on('error', (error) => done({ status: null, ending: error.message, output }))
    child.on('close', (status, signal) => {
      const ending = signal ? `ended by ${signal}` : `exit status ${status}`
      done({ status, ending, output: stripVTControlCharacters(output) })
    })
  })
}

export const runNode = (args, options) => run(process.execPath, args, options)

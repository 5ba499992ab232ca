#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { crfCommand } from './crf/command.js'
import { datasetCommand } from './dataset/command.js'
import { demoCommand } from './demo/command.js'
import { doctorCommand } from './doctor/command.js'
import { evalCommand } from './eval/command.js'
import { exportCommand } from './export/command.js'
import { predictCommand } from './predict/command.js'
import { promptsCommand } from './prompts/command.js'
import { queueCommand } from './queue/command.js'
import { reportCommand } from './report/command.js'
import { segmentCommand } from './segment/command.js'
import { serveCommand } from './serve/command.js'
import { setupCommand } from './setup/command.js'
import { complain, printable } from './shared/say.js'
import { listenForStops, Stopped } from './shared/stop.js'
import { refuseRepeats, UsageError } from './shared/usage.js'
import { commandVersion } from './shared/version.js'
import { trainCommand } from './train/command.js'
import { workerCommand } from './worker/command.js'

const exitStatus = { failed: 1, usage: 2 } // and 130 when interrupted: stop.ts

// A command's file names its options and loads what it works with when it runs: `clip-es doctor` must be able to say that sharp
// does not load, and --help must not wait for it.

/** Errors of use reach run() as exceptions, from every command alike, and end with the way to the help. */
function prepare(command: Command, name = command.name()): Command {
  for (const child of command.commands) prepare(child, `${name} ${child.name()}`)
  refuseRepeats(command)
  command.showHelpAfterError(`Run ${name} --help to see what it accepts.`)
  return command.exitOverride().configureOutput({ writeErr: (text) => void process.stderr.write(printable(text)) })
}

/** The whole command line. */
export function program(): Command {
  const command = new Command('clip-es')
    .description('Give it a photo and words, get a pixel mask for each word.')
    .version(commandVersion())
    .addCommand(segmentCommand())
    .addCommand(promptsCommand())
    .addCommand(datasetCommand())
    .addCommand(crfCommand())
    .addCommand(evalCommand())
    .addCommand(reportCommand())
    .addCommand(exportCommand())
    .addCommand(trainCommand())
    .addCommand(predictCommand())
    .addCommand(serveCommand())
    .addCommand(queueCommand())
    .addCommand(workerCommand())
    .addCommand(setupCommand())
    .addCommand(doctorCommand())
    .addCommand(demoCommand())
  return prepare(command)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitStatus.usage // commander has printed it
  if (error instanceof UsageError || error instanceof Stopped) {
    complain(`clip-es: ${error.message}`)
    return error instanceof Stopped ? error.status : exitStatus.usage
  }
  const expected = error instanceof Error && 'code' in error
  if (expected) complain(`clip-es: ${error.message}`)
  else console.error(error)
  return exitStatus.failed
}

/** As the command's other lines: Node adds a process id, and a hint for programmers. */
function printWarnings(): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ message }) => complain(message))
}

async function run(): Promise<void> {
  printWarnings()
  listenForStops()
  await program().parseAsync()
}

if (require.main === module)
  run().catch((error: unknown) => {
    process.exitCode = report(error)
  })

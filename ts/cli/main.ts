#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { packageRoot } from '../setup/paths.js'
import { demoCommand } from './demo.js'
import { setupCommand } from './setup.js'

const exitStatus = { failed: 1, usage: 2, interrupted: 130 }

function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }).version
}

/** Errors of use reach run() as exceptions, from every command alike. */
function throwOnExit(command: Command): Command {
  for (const child of command.commands) throwOnExit(child)
  return command.exitOverride()
}

/** The whole command line. */
export function program(): Command {
  const command = new Command('clip-es')
    .description('Give it a photo and words, get a pixel mask for each word.')
    .version(packageVersion())
    .addCommand(setupCommand())
    .addCommand(demoCommand())
  return throwOnExit(command)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitStatus.usage // commander has printed it
  const expected = error instanceof Error && 'code' in error
  console.error(expected ? `clip-es: ${error.message}` : error)
  return exitStatus.failed
}

async function run(): Promise<void> {
  process.on('SIGINT', () => process.exit(exitStatus.interrupted))
  await program().parseAsync()
}

if (require.main === module)
  run().catch((error: unknown) => {
    process.exitCode = report(error)
  })

import { Argument, Command } from 'commander'
import { addNameOption, type QueueOptions, redisUrl, urlHelp } from './options.js'

export interface OperateOptions extends QueueOptions {
  /** A run's id, or its beginning. All runs without it. */
  run?: string
}

export interface StatusOptions extends QueueOptions {
  json: boolean
}

function operation(name: string, description: string): Command {
  const command = new Command(name).description(description).addArgument(new Argument('<url>', urlHelp).argParser(redisUrl))
  return addNameOption(command).helpOption('-h, --help', 'show this help')
}

const operations = {
  pause: 'let workers finish their jobs and take no others',
  resume: 'let workers take jobs again',
  drain: 'remove the jobs that wait; those in work are finished. The producer ends then',
  'retry-failed': 'do photos again that have failed or were put aside',
} as const

export type Operation = keyof typeof operations

/** `clip-es queue`: what an operator does with a queue. */
export function queueCommand(): Command {
  const command = new Command('queue')
    .description('look after a queue of clip-es dataset --queue')
    .helpOption('-h, --help', 'show this help')
  command.addCommand(
    operation('status', 'tell the runs, their jobs, and the workers')
      .option('--json', 'print one JSON object to standard output', false)
      .action(async (url: string, options: Omit<StatusOptions, 'url'>) => {
        const { printStatus } = await import('./status.js')
        await printStatus({ ...options, url })
      }),
  )
  for (const [name, description] of Object.entries(operations) as [Operation, string][])
    command.addCommand(
      operation(name, description)
        .option('--run <id>', 'only this run; the beginning of its id is enough (default: every run)')
        .action(async (url: string, options: Omit<OperateOptions, 'url'>) => {
          const { operate } = await import('./operate.js')
          await operate(name, { ...options, url })
        }),
    )
  return command
}

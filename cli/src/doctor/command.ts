import { styleText } from 'node:util'
import { Command } from 'commander'
import type { Check, Status } from './check.js'

const examples = `
Examples:
  clip-es doctor          # a line for everything that is needed or used: ok, warning, or wrong with the remedy
  clip-es doctor --json   # the same for programs, or to go with a bug report

Exit status: 0, or 1 when something is wrong.`

/** `clip-es doctor`: what is installed, found, used and wrong. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('say what is installed, found, used and wrong')
    .option('--json', 'one JSON object on standard output')
    .addHelpText('after', examples)
    .action(async ({ json }: { json?: true }) => {
      if (!(await doctor(json ?? false))) process.exitCode = 1
    })
}

/** Prints what was found out, each thing as soon as it is known; false if something is wrong. */
async function doctor(json: boolean): Promise<boolean> {
  const { examine } = await import('./examine.js')
  const { packageVersion } = await import('clip-es/support')
  const checks: Check[] = []
  if (!json) console.log(`clip-es ${packageVersion()}\n`)
  for (const check of examine()) {
    checks.push(check)
    if (!json) console.log(lines(check))
  }
  const good = count(checks, 'wrong') === 0
  console.log(json ? JSON.stringify({ version: packageVersion(), ok: good, checks }, null, 2) : `\n${verdict(checks)}`)
  return good
}

const count = (checks: readonly Check[], status: Status): number => checks.filter((check) => check.status === status).length

const colours = { ok: 'green', warning: 'yellow', wrong: 'red' } as const

function lines({ name, status, detail, remedy }: Check): string {
  const word = status.padEnd(8)
  const coloured = process.stdout.isTTY && !process.env.NO_COLOR ? styleText(colours[status], word) : word
  const rest = remedy ? `\n${' '.repeat(20)}-> ${remedy}` : ''
  return `${coloured} ${name.padEnd(10)} ${detail}${rest}`
}

function verdict(checks: readonly Check[]): string {
  const [wrong, warnings] = [count(checks, 'wrong'), count(checks, 'warning')]
  if (wrong) return `${wrong} of ${checks.length} things ${wrong === 1 ? 'is' : 'are'} wrong: see the remedies above`
  return warnings ? `Everything works; ${warnings} warning${warnings === 1 ? '' : 's'}` : 'Everything works'
}

import { Command, InvalidArgumentError, Option } from 'commander'
import { classFileHelp } from '../class_sets.js'
import { numberFrom } from '../usage.js'
import type { EvalOptions } from './run.js'

const most = 10000
const someThresholds = '0:0.99:0.01'
const somePowers = '0.25,0.5,0.75,1,1.25,1.5,2,2.5,3,4,5,6,8,10,12,16'

/** '0,0.5,1' or '0:1:0.05' (first, last, step). */
function numbers(lowest: number, highest: number): (text: string) => number[] {
  const one = numberFrom(lowest, highest)
  return (text) => {
    const [from, to, step, ...rest] = text.split(':')
    if (to === undefined) return text.split(',').map(one)
    if (step === undefined || rest.length) throw new InvalidArgumentError('Expected FIRST:LAST:STEP, or numbers with commas.')
    const [first, last, by] = [one(from as string), one(to), numberFrom(1e-9, highest)(step)]
    const count = Math.floor((last - first) / by + 1e-9) + 1
    if (!(count >= 1 && count <= most)) throw new InvalidArgumentError(`That is ${count} numbers; expected 1 to ${most}.`)
    return Array.from({ length: count }, (_, i) => Number((first + i * by).toPrecision(12)))
  }
}

/** `clip-es eval`: masks or CAMs against ground truth. */
export function evalCommand(): Command {
  return new Command('eval')
    .description('compare masks or CAMs with ground truth: IoU, boundary IoU, pixel accuracy')
    .argument('[results]', "what clip-es dataset made, or a folder of masks or of the released code's .npy CAMs", 'clip-es-out')
    .option(
      '--truth <path>',
      "folder of palette or grey PNGs, or COCO's annotations (.json); default: what the VOC or COCO that was segmented has",
    )
    .option('--list <file>', 'which photos: an ID a line; default: the VOC split that was segmented, else every result')
    .option('--class-file <file>', `${classFileHelp}; default: the one that was used`)
    .option('--cams', 'evaluate CAMs instead of masks', false)
    .addOption(
      new Option('--threshold <t>', 'with --cams: background is this constant')
        .argParser(numberFrom(0, 1))
        .conflicts('backgroundPower'),
    )
    .option('--background-power <p>', 'with --cams: background = (1 - largest map)^p; default 1', numberFrom(0, 1e6))
    .option('--search', 'evaluate CAMs over thresholds and powers, and the best of them in full', false)
    .option(
      '--thresholds <list>',
      `for --search: FIRST:LAST:STEP, or numbers with commas; default ${someThresholds}`,
      numbers(0, 1),
    )
    .option('--powers <list>', `for --search; default ${somePowers}`, numbers(0, 1e6))
    .option('--boundary <ratio>', "width of the boundary's band as a share of the diagonal", numberFrom(0, 1), 0.02)
    .option('-o, --out <file>', 'where the figures go; default RESULTS/eval.json, or RESULTS/eval-cams.json')
    .option('--json', 'print the figures as JSON', false)
    .action(async (results: string, options: EvalOptions) => {
      const { evaluate } = await import('./run.js')
      const { thresholds = numbers(0, 1)(someThresholds), powers = numbers(0, 1e6)(somePowers) } = options
      if (!(await evaluate(results, { ...options, thresholds, powers }))) process.exitCode = 1
    })
}

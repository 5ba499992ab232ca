import { Command, InvalidArgumentError, Option } from 'commander'
import { classFileHelp } from '../shared/class_sets.js'
import { numberFrom } from '../shared/usage.js'
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
    if (step === undefined || rest.length)
      throw new InvalidArgumentError('Expected FIRST:LAST:STEP, or numbers separated by commas.')
    const [first, last, by] = [one(from as string), one(to), numberFrom(1e-9, highest)(step)]
    const count = Math.floor((last - first) / by + 1e-9) + 1
    if (!(count >= 1 && count <= most)) throw new InvalidArgumentError(`It stands for ${count} numbers; expected 1 to ${most}.`)
    return Array.from({ length: count }, (_, i) => Number((first + i * by).toPrecision(12)))
  }
}

/** `clip-es eval`: masks or CAMs against ground truth. */
export function evalCommand(): Command {
  return new Command('eval')
    .description('compare masks or CAMs with ground truth: IoU, boundary IoU, pixel accuracy')
    .argument('[results]', 'results of clip-es dataset, or a folder of masks or of .npy CAMs of the released code', 'clip-es-out')
    .option(
      '--truth <path>',
      "ground truth: a folder of palette or grey PNGs, or COCO's annotations (.json) (default: that of the segmented VOC or COCO)",
    )
    .option(
      '--list <file>',
      'which photos: a file with one ID per line (default: the VOC split that was segmented, else every result)',
    )
    .option('--class-file <file>', `${classFileHelp} (default: the one of the results)`)
    .option('--cams', 'evaluate CAMs instead of masks', false)
    .addOption(
      new Option('--threshold <t>', 'with --cams: use this constant as background')
        .argParser(numberFrom(0, 1))
        .conflicts('backgroundPower'),
    )
    .option('--background-power <p>', 'with --cams: background = (1 - largest map)^p (default: 1)', numberFrom(0, 1e6))
    .option('--search', 'evaluate CAMs with many thresholds and powers, and the best of them completely', false)
    .option(
      '--thresholds <list>',
      `with --search: FIRST:LAST:STEP, or numbers separated by commas (default: ${someThresholds})`,
      numbers(0, 1),
    )
    .option('--powers <list>', `with --search: the same for powers (default: ${somePowers})`, numbers(0, 1e6))
    .option('--boundary <ratio>', 'width of the band of boundary IoU, as a share of the diagonal', numberFrom(0, 1), 0.02)
    .option('-o, --out <file>', 'where to write the scores (default: RESULTS/eval.json, or RESULTS/eval-cams.json)')
    .option('--json', 'print the scores as JSON', false)
    .action(async (results: string, options: EvalOptions) => {
      const { evaluate } = await import('./run.js')
      const { thresholds = numbers(0, 1)(someThresholds), powers = numbers(0, 1e6)(somePowers) } = options
      if (!(await evaluate(results, { ...options, thresholds, powers }))) process.exitCode = 1
    })
}

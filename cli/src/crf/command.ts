import { defaults } from 'clip-es'
import { Command } from 'commander'
import { classFileHelp } from '../shared/class_sets.js'
import { integerFrom, numberFrom } from '../shared/usage.js'
import type { CrfArguments } from './plan.js'

const sigma = numberFrom(1e-3, 1e6)
const weight = numberFrom(0, 1e6)

/** `clip-es crf`: masks from maps that are there already, sharpened by the dense CRF. No model is needed. */
export function crfCommand(): Command {
  return new Command('crf')
    .description('make masks from existing maps with the dense CRF; a second run continues where the first stopped')
    .argument('<maps>', 'folder of .npz maps (from segment or dataset with --cams) or of .npy maps of the released code')
    .option(
      '--photos <dir>',
      'folder of the photos, which have the names of their maps (default: that of the data set, else the working directory)',
    )
    .option('--class-file <file>', `for the colours of the masks: ${classFileHelp} (default: the data set's)`)
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option(
      '--background-power <p>',
      'background = (1 - largest map)^p; a larger p makes larger masks',
      numberFrom(0, 1e6),
      defaults.backgroundPower,
    )
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255 (ignored)', numberFrom(0, 1), defaults.ignoreBelow)
    .option('--rounds <n>', 'rounds of mean-field inference (default: 10)', integerFrom(0, 1000))
    .option('--position-sigma <s>', 'sigma of the position kernel, in pixels (default: 1)', sigma)
    .option('--position-weight <w>', 'weight of the position kernel (default: 3)', weight)
    .option('--bilateral-position-sigma <s>', 'sigma of the positions in the bilateral kernel, in pixels (default: 67)', sigma)
    .option('--bilateral-colour-sigma <s>', 'sigma of the colours in the bilateral kernel, in levels of 255 (default: 3)', sigma)
    .option('--bilateral-weight <w>', 'weight of the bilateral kernel (default: 4)', weight)
    .option('--released', 'use the colours of the released pipeline: BGR minus the mean, wrapped to bytes', false)
    .option('--confidence', 'also write confidence/ID.png: 16-bit grey, 65535 means 1', false)
    .option('--overwrite', 'do all photos again, and replace results of other settings', false)
    .option('--json', 'print one JSON object per line, and nothing else, to standard output', false)
    .action(async (maps: string, options: CrfArguments) => {
      const { crf } = await import('./run.js')
      if (!(await crf(maps, options))) process.exitCode = 1
    })
}

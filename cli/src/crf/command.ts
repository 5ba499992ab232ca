import { defaults } from 'clip-es'
import { Command } from 'commander'
import { classFileHelp } from '../class_sets.js'
import { integerFrom, numberFrom } from '../usage.js'
import type { CrfArguments } from './run.js'

const sigma = numberFrom(1e-3, 1e6)
const weight = numberFrom(0, 1e6)

/** `clip-es crf`: masks from maps that are there already, sharpened by the dense CRF. No model is needed. */
export function crfCommand(): Command {
  return new Command('crf')
    .description('make masks from existing maps with the dense CRF; a second run continues where the first stopped')
    .argument('<maps>', 'a folder of .npz maps (segment or dataset with --cams) or of the released .npy')
    .option('--photos <dir>', 'their photos, by the same names; default: where the data set has them, else here')
    .option('--class-file <file>', `colours for the masks: ${classFileHelp}; default: the data set's`)
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--background-power <p>', 'background = (1 - largest map)^p', numberFrom(0, 1e6), defaults.backgroundPower)
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255 (ignored)', numberFrom(0, 1), defaults.ignoreBelow)
    .option('--rounds <n>', 'of mean-field inference (default: 10)', integerFrom(0, 1000))
    .option('--position-sigma <s>', 'of the position kernel, in pixels (default: 1)', sigma)
    .option('--position-weight <w>', '(default: 3)', weight)
    .option('--bilateral-position-sigma <s>', 'of the bilateral kernel (position and colour), in pixels (default: 67)', sigma)
    .option('--bilateral-colour-sigma <s>', 'of the bilateral kernel, in colour levels of 255 (default: 3)', sigma)
    .option('--bilateral-weight <w>', '(default: 4)', weight)
    .option('--released', "the released pipeline's colours: BGR less the mean, wrapped to bytes", false)
    .option('--confidence', 'write confidence/ID.png too: 16-bit grey, value / 65535', false)
    .option('--overwrite', 'redo all photos, and replace results of other settings', false)
    .option('--json', 'write one JSON object per line to standard output', false)
    .action(async (maps: string, options: CrfArguments) => {
      const { crf } = await import('./run.js')
      if (!(await crf(maps, options))) process.exitCode = 1
    })
}

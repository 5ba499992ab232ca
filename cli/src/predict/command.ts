import { defaults } from 'clip-es'
import { Command } from 'commander'
import { deviceFrom } from '../shared/engine_options.js'
import { addSourceOptions } from '../shared/source_options.js'
import { integerFrom, numberFrom } from '../shared/usage.js'
import { networkScales } from '../train/command.js'
import type { PredictOptions } from './options.js'

/** `clip-es predict`: masks by a trained network. */
export function predictCommand(): Command {
  const command = new Command('predict')
    .description('make masks with a network that clip-es train made; a second run continues where the first stopped')
    .argument('<run>', 'the folder that clip-es train filled')
    .argument('[photo...]', 'photos, folders of photos, or globs in quotes; or name a data set')
  return addSourceOptions(command.optionsGroup('Which photos:'), { auto: false, network: true })
    .option('--known-labels', "only classes that the data set's labels name can be in a mask, as for pseudo masks", false)
    .optionsGroup('How masks are made:')
    .option('--weights <file>', 'other weights, such as RUN/checkpoints/….safetensors (default: RUN/best.safetensors)')
    .option('--scales <scales>', "scales of the photo whose results are averaged (default: the run's)", networkScales)
    .option('--flip', "also average over the mirrored photo (default: the run's)")
    .option('--no-flip', 'do not mirror the photo')
    .option(
      '--crf',
      'move the borders of the masks onto the edges of the photo (default: as the masks that the run learned from)',
    )
    .option('--no-crf', 'leave out the dense CRF')
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255 (ignored)', numberFrom(0, 1), defaults.ignoreBelow)
    .optionsGroup('What to write:')
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--confidence', 'also write confidence/ID.png: 16-bit grey, 65535 means 1', false)
    .option('--overwrite', 'do all photos again, and replace results of other settings', false)
    .option('--json', 'print one JSON object per line, and nothing else, to standard output', false)
    .optionsGroup('How:')
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', deviceFrom, 'auto')
    .option('--threads <n>', 'number of threads (default: the physical cores)', integerFrom(1, 1024))
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .action(async (run: string, photos: string[], options: PredictOptions) => {
      const { predict } = await import('./run.js')
      if (!(await predict(run, photos, options))) process.exitCode = 1
    })
}

import { defaults } from 'clip-es'
import { Command } from 'commander'
import { addEngineOptions } from '../shared/engine_options.js'
import { addSourceOptions } from '../shared/source_options.js'
import { integerFrom, numberFrom, words } from '../shared/usage.js'
import type { DatasetOptions } from './options.js'

function shard(text: string): { part: number; of: number } {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? []
  const count = integerFrom(1, 1e6)(of ?? '')
  return { part: integerFrom(1, count)(part ?? ''), of: count }
}

/** `clip-es dataset`: pseudo masks for a whole data set from its image-level labels. */
export function datasetCommand(): Command {
  const command = new Command('dataset').description(
    'make masks for every photo of a data set from its image-level labels; a second run continues where the first stopped',
  )
  addSourceOptions(command.optionsGroup('Which photos:'), { auto: true })
  command
    .optionsGroup('Which words:')
    .option('--template <text>', "prompt, with {} in place of the class (default: the class file's)")
    .option('--background <words>', "words that compete with the classes (default: the class file's)", words)
    .optionsGroup('How masks are made:')
    .option('--box-threshold <t>', "threshold of the boxes of CAA, 0 to 1 (default: the class file's)", numberFrom(0, 1))
    .option(
      '--background-power <p>',
      'background = (1 - largest map)^p; a larger p makes larger masks',
      numberFrom(0, 1e6),
      defaults.backgroundPower,
    )
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255 (ignored)', numberFrom(0, 1), defaults.ignoreBelow)
    .option('--no-refine', "leave out CAA, which sharpens the maps with the model's attention")
    .option('--crf', 'move the borders of the masks onto the edges of the photo with the dense CRF', false)
    .optionsGroup('What to write:')
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--confidence', 'also write confidence/ID.png: 16-bit grey, 65535 means 1', false)
    .option('--cams', 'also write cams/ID.npz: the maps for numpy (keys, attn_highres)', false)
    .option('--overwrite', 'do all photos again, and replace results of other settings', false)
    .option('--json', 'print one JSON object per line, and nothing else, to standard output', false)
  return addEngineOptions(command.optionsGroup('How:'))
    .option('--shard <i/n>', 'do only the i-th of n parts, to share the work among processes or machines', shard)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .action(async (options: DatasetOptions) => {
      const { dataset } = await import('./run.js')
      if (!(await dataset(options))) process.exitCode = 1
    })
}

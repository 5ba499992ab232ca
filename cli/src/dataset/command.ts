import { defaults } from 'clip-es'
import { Command } from 'commander'
import { addEngineOptions } from '../engine_options.js'
import { addSourceOptions } from '../source_options.js'
import { integerFrom, numberFrom, words } from '../usage.js'
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
    .optionsGroup('What to ask:')
    .option('--template <text>', "prompt with {} for the class, instead of the class file's")
    .option('--background <words>', "words that compete with the classes, instead of the class file's", words)
    .optionsGroup('How masks are made:')
    .option('--box-threshold <t>', "of the refinement's boxes, instead of the class file's", numberFrom(0, 1))
    .option('--background-power <p>', 'background = (1 - largest map)^p', numberFrom(0, 1e6), defaults.backgroundPower)
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255 (ignored)', numberFrom(0, 1), defaults.ignoreBelow)
    .option('--no-refine', 'use the maps of softmax-GradCAM without refinement')
    .option('--crf', 'refine the masks with the dense CRF', false)
    .optionsGroup('What to write:')
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--confidence', 'write confidence/ID.png too: 16-bit grey, value / 65535', false)
    .option('--cams', 'write cams/ID.npz too: keys, attn_highres', false)
    .option('--overwrite', 'redo all photos, and replace results of other settings', false)
    .option('--json', 'write one JSON object per line to standard output', false)
  return addEngineOptions(command.optionsGroup('How:'))
    .option('--shard <i/n>', 'do the i-th of n parts only, for several processes or machines', shard)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .action(async (options: DatasetOptions) => {
      const { dataset } = await import('./run.js')
      if (!(await dataset(options))) process.exitCode = 1
    })
}

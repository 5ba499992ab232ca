import { defaults } from 'clip-es'
import { Command } from 'commander'
import { address, defaultName, queueName, redisUrl, urlHelp } from '../queue/options.js'
import { addEngineOptions } from '../shared/engine_options.js'
import { addMapOptions } from '../shared/maps_option.js'
import { addSourceOptions } from '../shared/source_options.js'
import { integerFrom, numberFrom, UsageError, words } from '../shared/usage.js'
import type { DatasetOptions } from './options.js'

function shard(text: string): { part: number; of: number } {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? []
  const count = integerFrom(1, 1e6)(of ?? '')
  return { part: integerFrom(1, count)(part ?? ''), of: count }
}

/** Throws UsageError for options that do not fit together. */
function checkQueue({ queue, root, servePhotos, detach }: DatasetOptions): void {
  const needs = root !== undefined ? '--root' : servePhotos ? '--serve-photos' : detach ? '--detach' : undefined
  if (queue === undefined && needs) throw new UsageError(`dataset: ${needs} needs --queue`)
  if (servePhotos && detach)
    throw new UsageError('dataset: --detach cannot be used with --serve-photos, because this process serves the photos')
  if (servePhotos && root !== undefined)
    throw new UsageError('dataset: --root cannot be used with --serve-photos, which needs no common folder')
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
  addMapOptions(command.optionsGroup('How masks are made:'))
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
    .optionsGroup('Many machines:')
    .option('--queue <url>', `let workers do the photos: ${urlHelp}; start them with clip-es worker`, redisUrl)
    .option('--name <name>', 'with --queue: name of the queue, if one Redis serves several', queueName, defaultName)
    .option('--root <dir>', 'with --queue: folder with photos and results that every worker sees (default: the current folder)')
    .option(
      '--serve-photos <address>',
      'with --queue: send photos to workers and take their results at host:port of this machine, instead of a common folder',
      address,
    )
    .option('--detach', 'with --queue: return when all photos are in the queue', false)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .action(async (options: DatasetOptions) => {
      checkQueue(options)
      const { dataset } = await import('./run.js')
      if (!(await dataset(options))) process.exitCode = 1
    })
}

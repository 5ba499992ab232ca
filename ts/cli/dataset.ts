import { Command, Option } from 'commander'
import { defaultLabelThreshold } from '../labels/threshold.js'
import type { Device, Precision } from '../types.js'
import { classFileHelp } from './class_sets.js'
import { device, maxSide } from './segment.js'
import { integerFrom, numberFrom, words } from './usage.js'

export interface DatasetOptions {
  voc?: string
  split?: string
  coco?: string
  annotations?: string
  folder?: string
  labels?: string
  labelThreshold?: number
  classFile?: string
  out: string
  model?: string
  precision?: Precision
  device?: Device
  threads?: number
  maxSide?: number
  template?: string
  background?: string[]
  boxThreshold?: number
  backgroundPower: number
  ignoreBelow: number
  refine: boolean
  crf: boolean
  confidence: boolean
  cams: boolean
  shard?: { part: number; of: number }
  overwrite: boolean
  json: boolean
}

function shard(text: string): { part: number; of: number } {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? []
  const count = integerFrom(1, 1e6)(of ?? '')
  return { part: integerFrom(1, count)(part ?? ''), of: count }
}

/** `clip-es dataset`: pseudo masks for a whole data set from its image-level labels. */
export function datasetCommand(): Command {
  return new Command('dataset')
    .description('make masks for every photo of a data set from its image-level labels; started again, it goes on')
    .addOption(new Option('--voc <dir>', 'PASCAL VOC: the folder with JPEGImages').conflicts(['coco', 'folder']))
    .option('--split <name>', 'which list of --voc: train, trainval, …')
    .addOption(new Option('--coco <dir>', 'COCO: the folder with the photos').conflicts(['voc', 'folder']))
    .option('--annotations <file>', 'the instances_….json of --coco')
    .addOption(new Option('--folder <dir>', 'your own photos, with folders inside').conflicts(['voc', 'coco']))
    .option(
      '--labels <file>',
      "what is in each photo (.csv, .json, .txt): needed by --folder; for --voc instead of its XML files; 'auto': CLIP finds out",
    )
    .option(
      '--label-threshold <x>',
      `of --labels auto: how sure CLIP must be, 0 to 1 (default: ${defaultLabelThreshold})`,
      numberFrom(0, 1),
    )
    .option('--class-file <file>', `${classFileHelp}; default: the data set's, or with --folder the embedded model's`)
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--model <file>', 'CLIP archive; default $CLIP_ES_MODEL, else the embedded demo model')
    .addOption(new Option('--precision <name>', 'of the matrix products').choices(['auto', 'float32', 'bfloat16', 'int8']))
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', device)
    .option('--threads <n>', 'default: the physical cores', integerFrom(1, 1024))
    .option('--max-side <n>', "longest side that enters the network, 'none' for any (default: 1024)", maxSide)
    .option('--template <text>', "prompt with {} for the class, instead of the class file's")
    .option('--background <words>', "words that compete with the classes, instead of the class file's", words)
    .option('--box-threshold <t>', "of the refinement's boxes, instead of the class file's", numberFrom(0, 1))
    .option('--background-power <p>', 'background = (1 - largest map)^p', numberFrom(0, 1e6), 1)
    .option('--ignore-below <c>', 'pixels with a lower confidence become 255', numberFrom(0, 1), 0)
    .option('--no-refine', 'leave the maps as softmax-GradCAM gives them')
    .option('--crf', 'sharpen the masks by the dense CRF', false)
    .option('--confidence', 'write confidence/ID.png too: 16-bit grey, value / 65535', false)
    .option('--cams', 'write cams/ID.npz too: keys, attn_highres', false)
    .option('--shard <i/n>', 'do the i-th of n parts only, for several processes or machines', shard)
    .option('--overwrite', 'do all photos again, and replace results of other settings', false)
    .option('--json', 'a JSON object a line on standard output', false)
    .action(async (options: DatasetOptions) => {
      const { dataset } = await import('./dataset_run.js')
      if (!(await dataset(options))) process.exitCode = 1
    })
}

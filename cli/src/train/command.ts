import { Command, InvalidArgumentError, Option } from 'commander'
import { deviceFrom } from '../shared/engine_options.js'
import { integerFrom, numberFrom, someScales } from '../shared/usage.js'
import type { TrainOptions } from './options.js'
import { confidenceModes, networks, presetNames } from './presets.js'

const some = integerFrom(1, 1e9)
const positive = numberFrom(1e-12, 1e12)
const factor = numberFrom(0, 1e6)

/** At which a network takes photos. */
export const networkScales = someScales(0.05, 20)

/** '0.5,0.75'; 'none' for an empty list. */
const scales = (text: string): number[] => (text === 'none' ? [] : networkScales(text))

function range(text: string): [number, number] {
  const [from, to, ...rest] = scales(text)
  if (from === undefined || to === undefined || rest.length || from > to)
    throw new InvalidArgumentError('Expected two scales separated by a comma, the smaller one first.')
  return [from, to]
}

/** `clip-es train`: a segmentation network from pseudo masks. */
export function trainCommand(): Command {
  return new Command('train')
    .description('train a segmentation network on the masks of a data set; a second run continues where the first stopped')
    .argument('<results>', 'the folder that clip-es dataset, crf or predict filled')
    .optionsGroup('What to learn from:')
    .option('--masks <dir>', 'use the masks of this folder instead, by the same names; for example ground truth')
    .option('--validation <path>', 'results with photos of their own, or a folder of ground truth with --validation-photos')
    .option('--validation-photos <dir>', 'with --validation: the photos of the ground truth')
    .option('--validation-list <file>', 'with --validation: which of its photos, one ID per line (default: all)')
    .optionsGroup('Which network:')
    .addOption(
      new Option('--preset <name>', "settings to begin with; voc, voc-coco-init and coco are the paper's")
        .choices(presetNames)
        .default('small'),
    )
    .addOption(new Option('--network <name>', "network (default: the preset's)").choices(networks))
    .option('--weights <file>', 'weights to begin from: a .safetensors or .pth file (default: random ones)')
    .option('--msc <scales>', "also train at these scales of the picture, or 'none' (default: the preset's)", scales)
    .optionsGroup("How it learns (default: the preset's values):")
    .option('--iterations <n>', 'changes of the weights', some)
    .option('--batch <n>', 'pictures of a step', integerFrom(1, 4096))
    .option('--accumulate <n>', 'steps whose gradients are added before the weights change', integerFrom(1, 4096))
    .option('--learning-rate <x>', 'learning rate at the beginning', positive)
    .option('--head-factor <x>', "factor of the rate for the classifier's weights", factor)
    .option('--head-bias-factor <x>', "factor of the rate for the classifier's bias", factor)
    .option('--momentum <x>', 'momentum of SGD', numberFrom(0, 0.9999))
    .option('--weight-decay <x>', 'weight decay', numberFrom(0, 1))
    .option('--power <x>', 'the rate falls as (1 - iteration / iterations)^power', numberFrom(0, 100))
    .option('--crop <n>', 'side of the squares cut from the pictures, in pixels', integerFrom(17, 4097))
    .option('--scales <a,b>', 'pictures are scaled by a random factor between a and b', range)
    .option('--flip', 'mirror half of the pictures')
    .option('--no-flip', 'mirror none of the pictures')
    .option('--clip <norm>', 'limit the norm of the gradients', positive)
    .optionsGroup('Confidence-guided loss:')
    .addOption(
      new Option(
        '--confidence <mode>',
        'hard: leave out pixels below --threshold; soft: weigh pixels by their confidence; off: use all',
      ).choices(confidenceModes),
    )
    .option('--threshold <mu>', 'lowest confidence of a pixel that is used, 0 to 1', numberFrom(0, 1))
    .option('--balanced', 'background and classes have the same weight in the loss')
    .option('--no-balanced', 'every pixel has the same weight in the loss')
    .optionsGroup('How clip-es predict uses the network:')
    .option('--test-scales <scales>', 'scales of the photo whose results are averaged', networkScales)
    .option('--test-flip', 'also average over the mirrored photo')
    .option('--no-test-flip', 'do not mirror the photo')
    .optionsGroup('What to write:')
    .option('-o, --out <run>', 'folder for the network, the losses and the report', 'clip-es-run')
    .option('--validate-every <n>', 'iterations between validations (default: 40 in a run)', some)
    .option('--checkpoint-every <n>', 'iterations between checkpoints (default: 40 in a run)', some)
    .option('--overwrite', 'begin again, and delete a run of other settings', false)
    .option('--json', 'print one JSON object per line, and nothing else, to standard output', false)
    .optionsGroup('How:')
    .option('--seed <n>', 'the same seed and threads give the same network', integerFrom(0, 2 ** 31 - 1), 1)
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', deviceFrom, 'auto')
    .option('--threads <n>', 'threads of the network (default: the physical cores)', integerFrom(1, 1024))
    .option('--loaders <n>', 'threads that read pictures', integerFrom(1, 256), 1)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .action(async (results: string, options: TrainOptions) => {
      const { train } = await import('./run.js')
      await train(results, options)
    })
}

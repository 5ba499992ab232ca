import { Command, Option } from 'commander'
import type { Device, Fusion, Precision } from '../types.js'
import { classFileHelp } from './class_sets.js'
import type { SourceOptions } from './dataset_plan.js'
import { device, maxSide } from './segment.js'
import { integerFrom, words } from './usage.js'

export interface PromptsOptions extends SourceOptions {
  rank: 'templates' | 'synonyms' | 'fusions' | 'backgrounds'
  classFile?: string
  templates: string
  template?: string
  fusion?: Fusion
  background?: string[][]
  withBackground: boolean
  model?: string
  precision?: Precision
  device?: Device
  threads?: number
  maxSide?: number
  cache?: string
  plot?: string
  json: boolean
}

const examples = `
Examples:
  clip-es prompts --voc VOC2012 --split train --model ViT-B-16.pt              # the paper's template and the 80 of ImageNet
  clip-es prompts --folder photos --labels labels.csv --class-file my.json --rank synonyms
  clip-es prompts --coco coco --annotations instances.json --rank templates --templates mine.txt --plot templates.svg

Sharpness is the paper's (arXiv 2212.09506, equation 9): over photos with two labels or more, the variance of the labels'
probabilities over their mean; the lower, the sharper. The photos' embeddings are kept in a file: what is asked the second time
needs no pass over the photos.`

/** `clip-es prompts`: which words to ask with. */
export function promptsCommand(): Command {
  return new Command('prompts')
    .description('rank templates, synonyms, fusions or background words by their sharpness on your photos')
    .addOption(
      new Option('--rank <what>', 'what to compare')
        .choices(['templates', 'synonyms', 'fusions', 'backgrounds'])
        .default('templates'),
    )
    .optionsGroup('Which photos:')
    .addOption(new Option('--voc <dir>', 'PASCAL VOC: the folder with JPEGImages').conflicts(['coco', 'folder']))
    .option('--split <name>', 'which list of --voc: train, trainval, …')
    .addOption(new Option('--coco <dir>', 'COCO: the folder with the photos').conflicts(['voc', 'folder']))
    .option('--annotations <file>', 'the instances_….json of --coco')
    .addOption(new Option('--folder <dir>', 'your own photos, with folders inside').conflicts(['voc', 'coco']))
    .option(
      '--labels <file>',
      'what is in each photo (.csv, .json, .txt): needed by --folder; for --voc instead of its XML files',
    )
    .option('--class-file <file>', `${classFileHelp}; default: the data set's, or with --folder the embedded model's`)
    .optionsGroup('What to compare:')
    .option('--templates <which>', 'imagenet, paper, all (both), or a file: a JSON list, or a template a line', 'all')
    .option(
      '--background <words>',
      "with --rank backgrounds a list more, as often as you like; else instead of the class file's",
      lists,
    )
    .optionsGroup('All else being equal:')
    .option('--template <text>', "prompt with {} for the class, instead of the class file's")
    .addOption(new Option('--fusion <way>', "of synonyms, instead of the class file's").choices(['sentence', 'feature', 'cam']))
    .option(
      '--with-background',
      'let background words into the softmax, as segmentation does; --rank backgrounds always does',
      false,
    )
    .optionsGroup('What to write:')
    .option('--plot <file>', 'a bar for each candidate, as .svg')
    .option('--json', 'one JSON object on standard output, and nothing else there', false)
    .option(
      '--cache <file>',
      "where the photos' embeddings are kept (default: a file for each data set in clip-es's cache folder)",
    )
    .optionsGroup('How:')
    .option('--model <file>', 'CLIP archive; default $CLIP_ES_MODEL, else the embedded demo model')
    .addOption(new Option('--precision <name>', 'of the matrix products').choices(['auto', 'float32', 'bfloat16', 'int8']))
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', device)
    .option('--threads <n>', 'default: the physical cores', integerFrom(1, 1024))
    .option('--max-side <n>', "longest side that enters the network, 'none' for any (default: 1024)", maxSide)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'say this')
    .addHelpText('after', examples)
    .action(async (options: PromptsOptions) => {
      const { prompts } = await import('./prompts_run.js')
      if (!(await prompts(options))) process.exitCode = 1
    })
}

const lists = (text: string, before: string[][] = []): string[][] => [...before, words(text)]

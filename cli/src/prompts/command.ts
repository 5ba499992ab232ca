import { fusions } from 'clip-es/support'
import { Command, Option } from 'commander'
import { addEngineOptions } from '../engine_options.js'
import { addSourceOptions } from '../source_options.js'
import { collecting, words } from '../usage.js'
import type { PromptsOptions } from './options.js'

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
  const command = new Command('prompts')
    .description('rank templates, synonyms, fusions or background words by their sharpness on your photos')
    .addOption(
      new Option('--rank <what>', 'what to compare')
        .choices(['templates', 'synonyms', 'fusions', 'backgrounds'])
        .default('templates'),
    )
  addSourceOptions(command.optionsGroup('Which photos:'), { auto: false })
  command
    .optionsGroup('What to compare:')
    .option('--templates <which>', 'imagenet, paper, all (both), or a file: a JSON list, or a template a line', 'all')
    .option(
      '--background <words>',
      "with --rank backgrounds a list more, as often as you like; else instead of the class file's",
      collecting(words),
    )
    .optionsGroup('All else being equal:')
    .option('--template <text>', "prompt with {} for the class, instead of the class file's")
    .addOption(new Option('--fusion <way>', "of synonyms, instead of the class file's").choices(fusions))
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
  return addEngineOptions(command.optionsGroup('How:'))
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (options: PromptsOptions) => {
      const { prompts } = await import('./run.js')
      if (!(await prompts(options))) process.exitCode = 1
    })
}

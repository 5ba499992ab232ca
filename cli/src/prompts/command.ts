import { fusions } from 'clip-es/support'
import { Command, Option } from 'commander'
import { addEngineOptions } from '../shared/engine_options.js'
import { addSourceOptions } from '../shared/source_options.js'
import { collecting, words } from '../shared/usage.js'
import type { PromptsOptions } from './options.js'

const examples = `
Examples:
  clip-es prompts --voc VOC2012 --split train --model ViT-B-16.pt              # the paper's template and the 80 of ImageNet
  clip-es prompts --folder photos --labels labels.csv --class-file my.json --rank synonyms
  clip-es prompts --coco coco --annotations instances.json --rank templates --templates mine.txt --plot templates.svg
  clip-es prompts --folder photos --class-file my.json --by entropy                                  # without labels
  clip-es prompts --folder photos --labels labels.csv --class-file my.json --thresholds --out my-thresholds.json

Sharpness is defined in the paper (arXiv 2212.09506, equation 9): the variance of the probabilities of a photo's labels, divided by
their mean. Lower is sharper. Only photos with two labels or more count. The embeddings of the photos are stored in a file, so a second
ranking does not encode the photos again.`

/** `clip-es prompts`: which words to ask with. */
export function promptsCommand(): Command {
  const command = new Command('prompts')
    .description('compare templates, synonyms, fusions or background words on your photos, or calibrate label thresholds')
    .addOption(
      new Option('--rank <what>', 'what to compare')
        .choices(['templates', 'synonyms', 'fusions', 'backgrounds'])
        .default('templates'),
    )
    .addOption(
      new Option(
        '--by <measure>',
        'sharpness, of photos with two labels or more; or entropy, of photos without labels (templates only)',
      )
        .choices(['sharpness', 'entropy'])
        .default('sharpness'),
    )
    .addOption(
      new Option(
        '--thresholds',
        'do not rank: calibrate the threshold of each class for --labels auto on photos with labels',
      ).conflicts(['rank', 'by', 'templates', 'withBackground', 'plot', 'cache']),
    )
  addSourceOptions(command.optionsGroup('Which photos:'), { auto: false })
  command
    .optionsGroup('What to compare:')
    .option('--templates <which>', 'imagenet, paper, all (both), or a file: a JSON list, or one template per line', 'all')
    .option(
      '--background <words>',
      "with --rank backgrounds: one more list to compare, may be given more than once; else replaces the class file's",
      collecting(words),
    )
    .optionsGroup('What stays the same:')
    .option('--template <text>', "prompt, with {} in place of the class (default: the class file's)")
    .addOption(
      new Option('--fusion <way>', "how the synonyms of a class are combined (default: the class file's)").choices(fusions),
    )
    .option(
      '--with-background',
      'include background words in the softmax, as segmentation does; --rank backgrounds always includes them',
      false,
    )
    .optionsGroup('What to write:')
    .option('--plot <file>', 'write a bar chart of the ranking (.svg)')
    .option('--out <file>', 'with --thresholds: write the class file with the thresholds (.json)')
    .option('--json', 'print one JSON object, and nothing else, to standard output', false)
    .option(
      '--cache <file>',
      "where the embeddings of the photos are stored (default: a file for each data set in clip-es's cache folder)",
    )
  return addEngineOptions(command.optionsGroup('How:'))
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (options: PromptsOptions) => {
      const run = options.thresholds ? (await import('./calibrate.js')).calibrateThresholds : (await import('./run.js')).prompts
      if (!(await run(options))) process.exitCode = 1
    })
}

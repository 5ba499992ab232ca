import { defaults, templates } from 'clip-es'
import { fusions } from 'clip-es/support'
import { Command, Option } from 'commander'
import { addEngineOptions } from '../shared/engine_options.js'
import { addMapOptions } from '../shared/maps_option.js'
import { collecting, numberFrom, someWords, words } from '../shared/usage.js'
import type { SegmentArguments } from './options.js'

const examples = `
Examples:
  clip-es segment photo.jpg --classes cat,dog --model ViT-B-16.pt
  clip-es segment photos --classes cat,dog --overlay -o masks         # a folder, with overlays to look at
  clip-es segment 'photos/**/*.jpg' --class-file voc --labels cat     # the words of a class file; these photos have only cats
  clip-es segment photos --class-file my-classes.json --json          # one JSON object per photo, for programs

Photos are JPEG, PNG, WebP, AVIF or TIFF files; their EXIF orientation is applied. The mask of a/x.jpg is OUT/a/x.png, a palette PNG:
0 is background, 1 the first class, 2 the second and so on, 255 an ignored pixel. OUT/segment.jsonl lists classes, settings and
scores, so that clip-es export OUT knows them. Exit status: 0 if all photos are done, 1 if a photo
failed, 2 for a wrong command line, 130 if interrupted.`

/** `clip-es segment`: masks for photos. */
export function segmentCommand(): Command {
  const command = new Command('segment')
    .description('make a mask for each photo from the names of the things in it')
    .argument('<photo...>', 'photos, folders of photos, or globs in quotes')
    .optionsGroup('What to look for:')
    .option(
      '--classes <words>',
      'names of classes, separated by commas (a name with a comma in double quotes); with --class-file: which of its classes to use',
      someWords,
    )
    .option(
      '--class-file <file>',
      'JSON file of classes, synonyms, colours and background words; or one of the package: voc, coco, emoji',
    )
    .option('--labels <words>', "the classes that are in these photos; 'auto' lets CLIP find out (default: all)", someWords)
    .option(
      '--label-threshold <x>',
      `with --labels auto: how certain CLIP must be of every class, 0 to 1 (default: the class file's, else ${defaults.labelThreshold})`,
      numberFrom(0, 1),
    )
    .option('--background <words>', "words that compete with the classes, such as ground; '' for none (default: VOC's 25)", words)
    .option(
      '--template <text>',
      `prompt, with {} in place of the word; may be given more than once (default: '${templates.clip_es}')`,
      collecting((text) => text),
    )
    .addOption(
      new Option('--fusion <way>', `how the synonyms of a class are combined (default: '${defaults.fusion}')`).choices(fusions),
    )
    .optionsGroup('What to write:')
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--overlay', 'also write NAME_overlay.png: the photo with its masks and a legend')
    .option('--cams', 'also write NAME.npz: the maps for numpy (keys int64, attn_highres float16)')
    .option('--confidence', 'also write NAME_confidence.png: 16-bit grey, 65535 means 1')
    .option('--json', 'print one JSON object per photo, and nothing else, to standard output')
  addMapOptions(command.optionsGroup('How:'))
    .option('--crf', 'move the borders of the masks onto the edges of the photo with the dense CRF')
    .option('--no-refine', "leave out CAA, which sharpens the maps with the model's attention")
    .option('--box-threshold <x>', `threshold of the boxes of CAA, 0 to 1 (default: ${defaults.boxThreshold})`, numberFrom(0, 1))
    .option(
      '--background-power <x>',
      `background = (1 - largest map) ^ x; a larger x makes larger masks (default: ${defaults.backgroundPower})`,
      numberFrom(0, 1e6),
    )
    .option(
      '--ignore-below <x>',
      `pixels with a lower confidence become 255 (ignored), 0 to 1 (default: ${defaults.ignoreBelow})`,
      numberFrom(0, 1),
    )
  return addEngineOptions(command)
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (photos: string[], given: SegmentArguments) => {
      const { segmentPhotos } = await import('./run.js')
      if (!(await segmentPhotos(photos, given))) process.exitCode = 1
    })
}

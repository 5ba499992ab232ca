import { defaults, ignored, templates } from 'clip-es'
import { fusions, precisions } from 'clip-es/support'
import { Command, Option } from 'commander'
import { device, maxSide } from '../engine_options.js'
import { collecting, integerFrom, numberFrom, someWords, words } from '../usage.js'
import type { SegmentArguments } from './options.js'

const examples = `
Examples:
  clip-es segment photo.jpg --classes cat,dog --model ViT-B-16.pt
  clip-es segment photos --classes cat,dog --overlay -o masks         # a folder, with pictures to look at
  clip-es segment 'photos/**/*.jpg' --class-file voc --labels cat     # a class file's words; only cats are in these photos
  clip-es segment photos --class-file my-classes.json --json          # an object per photo, for programs

Photos are JPEG, PNG, WebP, AVIF and TIFF files; EXIF orientation is obeyed. The mask of a/x.jpg is OUT/a/x.png: a palette PNG with
0 for background, 1 for the first class and so on, and 255 for pixels to be ignored. Exit status: 0, or 1 when a photo failed,
2 for a wrong command line, 130 when interrupted.`

/** `clip-es segment`: masks for photos. */
export function segmentCommand(): Command {
  return new Command('segment')
    .description('make a mask for each photo from the names of what may be in it')
    .argument('<photo...>', 'photos, folders of photos, or globs in quotes')
    .optionsGroup('What to look for:')
    .option(
      '--classes <words>',
      'classes, with commas between them (quotes around a comma, as in CSV); of a class file: those to take',
      someWords,
    )
    .option('--class-file <file>', 'JSON file of classes, synonyms, colours, background words; or voc, coco, emoji')
    .option('--labels <words>', "the classes that are in these photos, or 'auto': CLIP finds out (default: all)", someWords)
    .option(
      '--label-threshold <x>',
      `of --labels auto: how sure CLIP must be, 0 to 1 (default: ${defaults.labelThreshold})`,
      numberFrom(0, 1),
    )
    .option('--background <words>', "words that classes compete with; '' for none (default: VOC's 25)", words)
    .option(
      '--template <text>',
      `prompt with {} for the word; may be given more than once (default: '${templates.clip_es}')`,
      collecting((text) => text),
    )
    .addOption(new Option('--fusion <way>', `how synonyms become one class (default: '${defaults.fusion}')`).choices(fusions))
    .optionsGroup('What to write:')
    .option('-o, --out <dir>', 'folder for the results', 'clip-es-out')
    .option('--overlay', 'NAME_overlay.png too: the photo with its masks and a legend')
    .option('--cams', 'NAME.npz too: the maps as numpy reads them (keys int64, attn_highres float16)')
    .option('--confidence', 'NAME_confidence.png too: grey, 16 bits, 65535 for certain')
    .option('--json', 'a JSON object per photo on standard output, and nothing else there')
    .optionsGroup('How:')
    .option('--model <file>', 'CLIP-ViT archive (default: $CLIP_ES_MODEL, else the embedded demo model)')
    .option('--crf', 'refine the masks with the dense CRF')
    .option('--no-refine', "leave the maps as they are, without sharpening by the ViT's attention")
    .option(
      '--box-threshold <x>',
      `threshold of the box masks of the refinement, 0 to 1 (default: ${defaults.boxThreshold})`,
      numberFrom(0, 1),
    )
    .option(
      '--background-power <x>',
      `background = (1 - highest map) ^ x (default: ${defaults.backgroundPower})`,
      numberFrom(0, 1e6),
    )
    .option(
      '--ignore-below <x>',
      `pixels with a lower confidence become ${ignored} (ignored), 0 to 1 (default: ${defaults.ignoreBelow})`,
      numberFrom(0, 1),
    )
    .option('--max-side <n>', `longest side that enters the network, 'none' for any (default: ${defaults.maxSide})`, maxSide)
    .option('--threads <n>', 'threads to compute with (default: the physical cores)', integerFrom(1, 1024))
    .option('--concurrency <n>', 'photos computed side by side (default: 4, or as many as threads)', integerFrom(1, 64))
    .option('--device <device>', 'auto, cpu, cuda or cuda:N (default: auto)', device)
    .addOption(new Option('--precision <precision>', '(default: auto)').choices(precisions))
    .optionsGroup('Help:')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples)
    .action(async (photos: string[], given: SegmentArguments) => {
      const { segmentPhotos } = await import('./run.js')
      if (!(await segmentPhotos(photos, given))) process.exitCode = 1
    })
}

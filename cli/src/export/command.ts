import { Command, Option } from 'commander'
import { classFileHelp } from '../shared/class_sets.js'
import { someWords } from '../shared/usage.js'
import { type ExportArguments, formats } from './options.js'

const help = `
Formats:
  coco           instances.json: COCO instances, with the labels' scores
  yolo           labels/NAME.txt and data.yaml for YOLO segmentation
  labelme        ID.json for each photo
  label-studio   tasks.json with predictions, and labeling.xml, the labelling interface
  grey           ID.png: grey, 8 bits, the numbers of the classes; 255 for ignored pixels
  rgb            ID.png: the colours of the classes

Examples:
  clip-es export voc-train --format coco
  clip-es export voc-train --format yolo --link-photos -o voc-yolo
  clip-es export clip-es-out --format labelme                       # what segment made with its last settings

Outlines follow the edges of pixels. Formats without holes get a hole joined to its outer ring by a bridge of no width.`

/** `clip-es export`: results in the formats of other tools. */
export function exportCommand(): Command {
  return new Command('export')
    .description('write masks in the formats of other tools: COCO, YOLO, labelme, Label Studio, plain PNG')
    .argument('<results>', 'a folder that clip-es dataset, crf or segment filled')
    .addOption(new Option('-f, --format <format>', 'what to write').choices(formats).makeOptionMandatory())
    .option('-o, --out <dir>', 'folder for the files', 'clip-es-export')
    .option(
      '--rle',
      'exact pixels: run-length codes (coco, the default), brush masks (label-studio, the default), masks (labelme)',
    )
    .option('--polygons', 'outlines (coco, label-studio; the default of labelme and yolo)')
    .option('--regions', 'each connected region is an object (default: each class of a photo; yolo: always regions)')
    .option(
      '--classes <words>',
      'the classes of the masks, in the order of their numbers; of a class file: those taken',
      someWords,
    )
    .option('--class-file <file>', `${classFileHelp}; default: the one that was used`)
    .option('--photos <dir>', "folder of the photos, by the masks' names; default: where they were")
    .option('--link-photos', 'yolo: links to the photos in the folder images')
    .option('--url-prefix <url>', 'label-studio: what goes before the path of a photo (default: /data/local-files/?d=)')
    .option('--json', 'write one JSON object per line to standard output', false)
    .addHelpText('after', help)
    .action(async (results: string, options: ExportArguments) => {
      const { exportResults } = await import('./run.js')
      await exportResults(results, options)
    })
}

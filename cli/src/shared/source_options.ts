import { defaults } from 'clip-es'
import { type Command, Option } from 'commander'
import { classFileHelp } from './class_sets.js'
import { numberFrom } from './usage.js'

/** What a command line says of which photos are meant, and what is in them. */
export interface SourceOptions {
  voc?: string
  split?: string
  coco?: string
  annotations?: string
  folder?: string
  labels?: string
  labelThreshold?: number
  classFile?: string
}

const ownClasses = "(default: the data set's; with --folder and the embedded model: emoji)"

/**
 * Adds them to a command: the same for every command that goes over a data set. `auto`: whether CLIP may find the labels. `network`: whether a
 * trained network knows the classes, so that labels are not needed.
 */
export function addSourceOptions(command: Command, { auto, network = false }: { auto: boolean; network?: boolean }): Command {
  const labels = network ? 'with --folder' : 'required with --folder'

  command
    .addOption(new Option('--voc <dir>', 'PASCAL VOC: the folder that contains JPEGImages').conflicts(['coco', 'folder']))
    .option('--split <name>', 'with --voc: the list of photos, such as train or trainval')
    .addOption(new Option('--coco <dir>', 'COCO: the folder with the photos').conflicts(['voc', 'folder']))
    .option('--annotations <file>', 'with --coco: its file instances_….json')
    .addOption(new Option('--folder <dir>', 'your own photos; subfolders are searched').conflicts(['voc', 'coco']))
    .option(
      '--labels <file>',
      `file that says what is in each photo (.csv, .json, .txt); ${labels}, replaces the XML files of --voc${auto ? "; 'auto' lets CLIP find out" : ''}`,
    )
  if (!network) command.option('--class-file <file>', `${classFileHelp} ${ownClasses}`)
  if (!auto) return command
  return command.option(
    '--label-threshold <x>',
    `with --labels auto: how certain CLIP must be of every class, 0 to 1 (default: the class file's, else ${defaults.labelThreshold})`,
    numberFrom(0, 1),
  )
}

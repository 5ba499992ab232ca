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

/** Adds them to a command: the same for every command that goes over a data set. `auto`: whether CLIP may find the labels. */
export function addSourceOptions(command: Command, { auto }: { auto: boolean }): Command {
  command
    .addOption(new Option('--voc <dir>', 'PASCAL VOC: the folder with JPEGImages').conflicts(['coco', 'folder']))
    .option('--split <name>', 'which list of --voc: train, trainval, …')
    .addOption(new Option('--coco <dir>', 'COCO: the folder with the photos').conflicts(['voc', 'folder']))
    .option('--annotations <file>', 'the instances_….json of --coco')
    .addOption(new Option('--folder <dir>', 'your own photos, with folders inside').conflicts(['voc', 'coco']))
    .option(
      '--labels <file>',
      `what is in each photo (.csv, .json, .txt): needed by --folder; for --voc instead of its XML files${auto ? "; 'auto': CLIP finds out" : ''}`,
    )
    .option('--class-file <file>', `${classFileHelp}; default: the data set's, or with --folder the embedded model's`)
  if (!auto) return command
  return command.option(
    '--label-threshold <x>',
    `of --labels auto: how sure CLIP must be, 0 to 1 (default: ${defaults.labelThreshold})`,
    numberFrom(0, 1),
  )
}

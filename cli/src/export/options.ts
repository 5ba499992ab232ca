import type { SourceArguments } from './source.js'

/** The formats, by the names of --format. */
export const formats = ['coco', 'yolo', 'labelme', 'label-studio', 'grey', 'rgb'] as const
export type Format = (typeof formats)[number]

/** What the command line says; what it leaves out is absent. */
export interface ExportArguments extends SourceArguments {
  format: Format
  polygons?: true
  rle?: true
  regions?: true
  linkPhotos?: true
  urlPrefix?: string
  out: string
  json: boolean
}

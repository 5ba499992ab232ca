import type { ClassFile, LoadOptions, Segmenter } from 'clip-es'
import type { Limits } from './limits.js'

/** Options of the plugin. */
export interface ServerOptions {
  /** A segmenter of your own. The plugin does not close it. Default: one is loaded by `load`, and closed with the server. */
  segmenter?: Segmenter
  /** How to load the model, if `segmenter` is not given. */
  load?: LoadOptions
  /** Class sets that requests can use by name, in addition to voc, coco and emoji. */
  classFiles?: Readonly<Record<string, ClassFile>>
  limits?: Partial<Limits>
  /** Keys that requests must have, of at least 16 characters. Default: none is needed. */
  keys?: readonly string[]
  /** A file of such keys, one a line. It is read again when it changes. */
  keyFile?: string
  /** Origins whose pages may use the server, such as https://example.org; '*' for all. Default: none. */
  cors?: readonly string[]
  /** The path under which the routes are registered. Default: none, '/v1/segment'. */
  prefix?: string
}

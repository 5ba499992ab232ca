import type { ClassFile, LoadOptions, Segmenter } from 'clip-es'
import type { Limits } from './limits.js'
import type { LabelStudioOptions } from './protocols/label_studio/host.js'
import type { StartBatches } from './service/batches.js'

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
  /** Hosts from which photos may be fetched by URL, such as 'example.org', '*.example.org' and 'example.org:8443'. Default: none. */
  remoteHosts?: readonly string[]
  /** Such hosts that may also have addresses of a private network or of this machine. Default: none. */
  privateHosts?: readonly string[]
  /** What computes the batches of POST /v1/batches. Default: none. `clip-es serve --batch-queue` has the queue of `clip-es worker`. */
  batches?: StartBatches
  /** Hosts that batches may call back when they have ended, as `remoteHosts`. Default: none. */
  callbackHosts?: readonly string[]
  /** Such hosts that may also have addresses of a private network or of this machine. Default: none. */
  privateCallbackHosts?: readonly string[]
  /** Where Label Studio is, for photos that were uploaded to it. */
  labelStudio?: LabelStudioOptions
  /** Whether / is the page on which people try photos and words. Default true. */
  page?: boolean
  /** The path under which the routes are registered. Default: none, '/v1/segment'. */
  prefix?: string
}

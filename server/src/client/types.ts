// What requests and answers look like to a client. Only types: nothing of Node.js may come into a browser.
import type { ClassFile, ClassSpec, CrfOptions, EncodeClassesOptions, ModelInfo, SegmentOptions } from 'clip-es'
import type { SegmentAnswer } from '../answers/json.js'
import type { Problem } from '../errors.js'
import type { Limits } from '../limits.js'

export type { ClassFile, ClassSpec, CrfOptions, Limits, Problem, SegmentAnswer }

/** What to look for, and how. The names are the library's. */
export interface AskOptions extends Omit<SegmentOptions, 'output' | 'signal'>, Omit<EncodeClassesOptions, 'signal'> {
  /** Words, or the name of a class set. */
  classes: readonly ClassSpec[] | string
  /** How `segment` draws the labels. Default 'rle'. */
  shapes?: 'rle' | 'polygons' | 'none'
}

/** A photo that the server keeps. */
export interface KeptImage {
  id: string
  width: number
  height: number
  /** Memory of the server. */
  bytes: number
  /** When it goes if nobody uses it: ISO 8601. */
  expires: string
}

/** A class set of the server. */
export interface KeptClassSet extends ClassFile {
  name: string
  builtIn: boolean
}

/** What the server is. */
export interface ServerAbout {
  model: Omit<ModelInfo, 'path'> & { name: string }
  limits: Limits
  defaults: Record<string, unknown>
  classSets: KeptClassSet[]
  backgrounds: Record<string, readonly string[]>
}

import { isAbsolute, relative, resolve, sep } from 'node:path'
import { UsageError } from '../shared/usage.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { Address } from './options.js'

export interface PathOptions {
  /** The folder of results. */
  out: string
  /** The folder that all machines see. Default: the current one. */
  root?: string
  servePhotos?: Address
}

/** Paths from the root, which is another folder on each machine. */
export class Paths {
  readonly root: string
  readonly out: string

  /** @throws UsageError when the folder of results is elsewhere */
  constructor(readonly options: PathOptions) {
    this.root = resolve(options.root ?? '.')
    this.out = options.servePhotos ? '' : this.fromRoot(resolve(options.out), 'the folder of results')
  }

  fromRoot(path: string, what: string): string {
    const below = relative(this.root, path)
    if (below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below))
      throw new UsageError(
        `dataset: ${what} ${path} is not in ${this.root}; name a folder with --root that contains photos and results on every machine, or send them with --serve-photos`,
      )
    return below.replaceAll(sep, '/')
  }

  /** How a job names a photo. */
  photo({ photo, id }: DatasetItem): string {
    return this.options.servePhotos ? id : this.fromRoot(photo, 'the photo')
  }
}

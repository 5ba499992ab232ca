import { extname, posix } from 'node:path'
import type { ClassEntry, ClassFile, ClassSpec } from 'clip-es'
import { photoExtensions } from 'clip-es/photos'
import { invalid, show } from 'clip-es/support'
import type { BatchPhoto, BatchTask } from '../service/batches.js'
import type { Service } from '../service/service.js'
import { readQuestion } from './question.js'
import { classesSchema, classOptionProperties, type Schema, segmentOptionProperties } from './schema.js'
import { validator } from './validate.js'

const labels: Schema = {
  type: 'array',
  items: { oneOf: [{ type: 'string' }, { type: 'integer' }] },
  description: 'The classes that are in it, by name or index. Default: those of the batch',
}

const photo: Schema = {
  type: 'object',
  properties: {
    path: { type: 'string', description: 'A path in the folder that workers see: --batch-root' },
    url: { type: 'string', description: 'Instead of a path: a URL of an allowed host' },
    name: { type: 'string', description: "Of its results. Default: its path or the URL's last part, without extension" },
    labels,
  },
  additionalProperties: false,
}

const { include: _, ...maskOptions } = segmentOptionProperties

export const batchSchema: Schema = {
  type: 'object',
  required: ['photos', 'classes'],
  properties: {
    photos: { type: 'array', minItems: 1, items: { oneOf: [{ type: 'string' }, photo] }, description: 'Paths or URLs' },
    callback: { type: 'string', description: 'A URL of an allowed host. It gets the state by POST when the batch has ended' },
    classes: classesSchema,
    ...classOptionProperties,
    ...maskOptions,
  },
  additionalProperties: false,
}

type Given = Omit<BatchPhoto, 'name'> & { name?: string }

const validate = validator<{ photos: (string | Given)[]; callback?: string }>('batches', batchSchema)

/** What a request for a batch asks. Throws ERR_INVALID_ARG. */
export function readBatch(body: unknown, { limits, classSets }: Service): BatchTask {
  const { photos, callback, ...rest } = validate(body ?? {})
  if (photos.length > limits.batchPhotos)
    throw invalid(`the batch has ${photos.length} photos; at most ${limits.batchPhotos} are allowed: send several batches`)
  const { question } = readQuestion(rest, () => 'mask', limits)
  const { classes, classOptions = {}, options } = question
  const set: ClassFile = typeof classes === 'string' ? classSets.get(classes) : { classes: classes.map(entryOf) }
  const { template, background, fusion, boxThreshold } = set
  return {
    photos: photos.map((given) => readPhoto(typeof given === 'string' ? fromText(given) : given)),
    classes: { classes: set.classes, template, background, fusion, ...classOptions } as ClassFile,
    options: { boxThreshold, ...options },
    ...(callback !== undefined && { callback }),
  }
}

const entryOf = (spec: ClassSpec): ClassEntry => (typeof spec === 'string' ? { name: spec } : spec)

const fromText = (text: string): Given => (/^https?:/i.test(text) ? { url: text } : { path: text })

function readPhoto({ path, url, name, labels }: Given): BatchPhoto {
  const where = path ?? url
  if (where === undefined || (path !== undefined && url !== undefined))
    throw invalid(
      `a photo of the batch has ${where === undefined ? 'neither path nor url' : 'both path and url'}; give one of them`,
    )
  if (path !== undefined) checkPath('path', path)
  const own = name ?? stemOf(path ?? lastPart(url as string))
  checkPath('name', own)
  return { name: own, ...(path === undefined ? { url } : { path }), ...(labels && { labels }) }
}

/** It must not lead out of its folder. */
function checkPath(what: string, path: string): void {
  const plain = posix.normalize(path)
  if (path !== '' && plain === path && !posix.isAbsolute(path) && !path.split('/').includes('..') && !/[\\\0]/.test(path)) return
  throw invalid(`the ${what} of a photo is ${show(path)}; expected a path such as cats/1, without '..' and not from the root`)
}

const stemOf = (name: string): string =>
  photoExtensions.includes(extname(name).toLowerCase()) ? name.slice(0, -extname(name).length) : name

function lastPart(url: string): string {
  try {
    return decodeURIComponent(posix.basename(new URL(url).pathname))
  } catch {
    throw invalid(`the url of a photo is ${show(url)}; expected one such as https://example.org/photo.jpg`)
  }
}

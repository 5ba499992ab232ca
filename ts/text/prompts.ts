import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { invalid } from '../core/errors.js'
import type { ClassFile } from '../core/types.js'
import { packageFolder } from '../files/package_folder.js'

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}

/** Reads a file of the package at the first call. */
function shipped<T>(file: string): () => T {
  let content: T | undefined
  return () => {
    content ??= freeze(JSON.parse(readFileSync(join(packageFolder(), 'data', file), 'utf8')) as T)
    return content
  }
}

const voc = shipped<Required<ClassFile>>('classes/voc.json')
const coco = shipped<Required<ClassFile>>('classes/coco.json')
const allTemplates = shipped<{ clip_es: string; imagenet: readonly string[] }>('templates.json')

/** The paper's class files: classes with their synonyms, background words, template, threshold. Frozen; read at the first access. */
export const classSets: {
  /** PASCAL VOC 2012: 20 classes. */
  readonly voc: Required<ClassFile>
  /** COCO 2014: 80 classes. */
  readonly coco: Required<ClassFile>
} = Object.freeze({
  get voc() {
    return voc()
  },
  get coco() {
    return coco()
  },
})

/** The paper's background words, which classes compete with: 25 for VOC, 23 for COCO. Frozen; read at the first access. */
export const backgrounds: { readonly voc: readonly string[]; readonly coco: readonly string[] } = Object.freeze({
  get voc() {
    return voc().background
  },
  get coco() {
    return coco().background
  },
})

/** Prompt templates: CLIP-ES's own, and the 80 that CLIP averages for ImageNet (openai/CLIP, notebooks). Frozen; read at the first access. */
export const templates: { readonly clip_es: string; readonly imagenet: readonly string[] } = Object.freeze({
  get clip_es() {
    return allTemplates().clip_es
  },
  get imagenet() {
    return allTemplates().imagenet
  },
})

/**
 * The template with the word in the place of `{}`.
 * @throws ClipEsError ERR_INVALID_ARG when the template does not contain `{}` exactly once
 */
export function fillTemplate(template: string, word: string): string {
  const parts = typeof template === 'string' ? template.split('{}') : []
  const [before, after] = parts
  if (before === undefined || after === undefined || parts.length > 2) {
    const shown = inspect(template, { depth: 0, maxStringLength: 60 })
    throw invalid(`the template ${shown} must be a string with {} in it exactly once, where the word goes`)
  }
  return before + word + after
}

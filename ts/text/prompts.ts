import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { invalid } from '../errors.js'
import { packageFolder } from '../files/package_folder.js'
import type { ClassFile } from '../types.js'

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}

const shipped = (file: string): unknown => freeze(JSON.parse(readFileSync(join(packageFolder(), 'data', file), 'utf8')))

/** The paper's class files: classes with their synonyms, background words, template, threshold. Frozen. */
export const classSets = Object.freeze({
  /** PASCAL VOC 2012: 20 classes. */
  voc: shipped('classes/voc.json') as Required<ClassFile>,
  /** COCO 2014: 80 classes. */
  coco: shipped('classes/coco.json') as Required<ClassFile>,
})

/** The paper's background words, which classes compete with: 25 for VOC, 23 for COCO. Frozen. */
export const backgrounds = Object.freeze({ voc: classSets.voc.background, coco: classSets.coco.background })

/** Prompt templates: CLIP-ES's own, and the 80 that CLIP averages for ImageNet (openai/CLIP, notebooks). Frozen. */
export const templates = shipped('templates.json') as { readonly clip_es: string; readonly imagenet: readonly string[] }

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

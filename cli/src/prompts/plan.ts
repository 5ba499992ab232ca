import { extname } from 'node:path'
import { backgrounds, type ClassFile, defaults, templates } from 'clip-es'
import { invalid, planClasses } from 'clip-es/support'
import { readText } from '../files/read_text.js'
import { UsageError } from '../shared/usage.js'
import { messageOf } from '../shared/wording.js'
import { type Candidate, candidatesOf, type Encoding } from './candidates.js'
import type { PromptsOptions } from './options.js'
import type { Softmax } from './rank.js'

/** Templates by the name of a list, or of a file: a JSON list, or one a line. Throws ERR_INVALID_ARG. */
export function templatesNamed(name: string): readonly string[] {
  const known = { paper: [templates.clip_es], imagenet: templates.imagenet, all: [templates.clip_es, ...templates.imagenet] }
  if (Object.hasOwn(known, name)) return known[name as keyof typeof known]
  try {
    const text = readText(name)
    const list: unknown =
      extname(name).toLowerCase() === '.json' ? JSON.parse(text) : text.split(/\r\n|\r|\n/).filter((line) => line.trim())
    if (!Array.isArray(list) || !list.length) throw invalid('it contains no list of templates')
    planClasses(['word'], { template: list }) // throws for a template without exactly one {}
    return list
  } catch (error) {
    throw invalid(`--templates: ${name}: ${messageOf(error)}; known by name: ${Object.keys(known).join(', ')}`)
  }
}

/** How classes become texts: options, else the class file, else the paper. Throws UsageError for several lists of background words. */
export function encodingAsked({ template, background = [], fusion }: PromptsOptions, file: ClassFile): Encoding {
  if (background.length > 1)
    throw new UsageError(
      `prompts: --background is given ${background.length} times; only --rank backgrounds compares several lists`,
    )
  return {
    template: template ?? file.template ?? templates.clip_es,
    background: background[0] ?? file.background ?? backgrounds.voc,
    fusion: fusion ?? file.fusion ?? defaults.fusion,
  }
}

/** What the command line asks to compare. Throws UsageError, ERR_INVALID_ARG. */
export function candidatesAsked(options: PromptsOptions, file: ClassFile): { candidates: Candidate[]; softmax: Softmax } {
  const { rank, by, background = [], withBackground } = options
  if (by === 'entropy' && rank !== 'templates')
    throw new UsageError(
      `prompts: --by entropy cannot be used with --rank ${rank}; it compares templates, because their words are the same`,
    )
  const base = encodingAsked(rank === 'backgrounds' ? { ...options, background: [] } : options, file)
  if (rank !== 'backgrounds' && background.length && !withBackground)
    throw new UsageError('prompts: --background needs --with-background, because the softmax is over the classes only')
  if (rank !== 'templates' && options.templates !== 'all')
    throw new UsageError(`prompts: --templates cannot be used with --rank ${rank}; choose the template with --template`)
  for (const [option, own] of [
    ['template', 'templates'],
    ['fusion', 'fusions'],
  ] as const)
    if (rank === own && options[option] !== undefined)
      throw new UsageError(`prompts: --${option} cannot be used with --rank ${own}, which compares them`)
  const lists = { templates: templatesNamed(options.templates), backgrounds: background }
  return {
    candidates: candidatesOf(rank, file, base, lists),
    softmax: withBackground || rank === 'backgrounds' ? 'with background' : 'classes alone',
  }
}

import { invalid, show, splitWords } from 'clip-es/support'

// Queries and forms have only texts. This turns them into what a JSON body would have had; what cannot be turned stays a text, and
// validation says what was expected.

/** A text between brackets or braces is JSON. */
function json(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid(`${name}: ${show(text)} looks like JSON but is not (${(cause as Error).message}); correct it`, { cause })
  }
}

const isJson = (text: string): boolean => /^\s*[[{]/.test(text)

function split(name: string, text: string): string[] {
  try {
    return splitWords(text)
  } catch (cause) {
    throw invalid(`${name} is ${show(text)}. ${(cause as Error).message}`, { cause })
  }
}

function list(name: string, texts: readonly string[]): unknown[] {
  const [only] = texts
  if (texts.length === 1 && only !== undefined && isJson(only)) return [json(name, only)].flat(1)
  return texts.flatMap((text) => split(name, text))
}

function number(text: string): unknown {
  const value = Number(text)
  return text.trim() === '' || Number.isNaN(value) ? text : value
}

function boolean(text: string): unknown {
  return text === 'true' ? true : text === 'false' ? false : text
}

/** A single word is the name of a class set if there is one of that name. */
type Names = (name: string) => boolean

const readers: Readonly<Record<string, (name: string, texts: readonly string[], isSet: Names) => unknown>> = {
  classes(name, texts, isSet) {
    const words = list(name, texts)
    const [only] = words
    return words.length === 1 && typeof only === 'string' && isSet(only) ? only : words
  },
  labels(name, texts) {
    const words = list(name, texts)
    return words.length === 1 && words[0] === 'auto' ? 'auto' : words
  },
  background: list,
  include: list,
  template: (name, texts) =>
    texts.length === 1 && !isJson(texts[0] as string) ? texts[0] : texts.some(isJson) ? list(name, texts) : texts,
  crf: (name, [text = '']) => (isJson(text) ? json(name, text) : boolean(text)),
  maps: (name, [text = '']) => (isJson(text) ? json(name, text) : text),
  scales: (name, texts) => list(name, texts).map((scale) => (typeof scale === 'string' ? number(scale) : scale)),
  flip: (_, [text = '']) => boolean(text),
  refine: (_, [text = '']) => boolean(text),
}
for (const name of ['labelThreshold', 'boxThreshold', 'minScore', 'backgroundPower', 'backgroundBelow', 'ignoreBelow'])
  Object.assign(readers, { [name]: (_: string, [text = '']: readonly string[]) => number(text) })

/** Those that may be given more than once. */
const lists = ['classes', 'labels', 'background', 'include', 'template', 'scales']

/** The options of a query or a form, as a JSON body would have them. Throws ERR_INVALID_ARG. */
export function readTexts(given: Readonly<Record<string, string | readonly string[]>>, isSet: Names): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const texts = typeof value === 'string' ? [value] : value
      if (texts.length > 1 && !lists.includes(name)) throw invalid(`${name} is given ${texts.length} times; give it once`)
      const read = Object.hasOwn(readers, name) ? readers[name] : undefined // not what all objects inherit, such as 'constructor'
      return [name, read ? read(name, texts, isSet) : texts[0]]
    }),
  )
}

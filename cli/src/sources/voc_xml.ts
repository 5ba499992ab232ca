import { parseXml, XmlElement } from '@rgrove/parse-xml'
import { invalid } from 'clip-es/support'
import { messageOf } from '../shared/wording.js'

/** The encoding that a byte-order mark, the first bytes or the declaration tell of (XML 1.0, appendix F). */
function encodingOf(bytes: Uint8Array): string {
  const [a, b] = bytes
  if ((a === 0xff && b === 0xfe) || (a === 0x3c && b === 0)) return 'utf-16le'
  if ((a === 0xfe && b === 0xff) || (a === 0 && b === 0x3c)) return 'utf-16be'
  const declaration = Buffer.from(bytes.subarray(0, 200)).toString('latin1')
  return /^(?:\xef\xbb\xbf)?<\?xml[^>]*\bencoding\s*=\s*["']([\w.-]+)["']/.exec(declaration)?.[1] ?? 'utf-8'
}

function textOf(bytes: Uint8Array): string {
  const encoding = encodingOf(bytes)
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes) // without a byte-order mark
  } catch {
    throw invalid(`its text is not ${encoding.toUpperCase()}, although it says so`)
  }
}

/** The objects of an annotation: the names of those that have one, and how many have none. */
export interface VocObjects {
  names: string[]
  nameless: number
}

/**
 * Reads a VOC annotation. The parts of objects (head, hand) have names too, which are not labels.
 * @throws ERR_INVALID_ARG for XML that is not well-formed or not an annotation
 */
export function vocObjects(bytes: Uint8Array): VocObjects {
  const root = parse(textOf(bytes))
  if (root?.name !== 'annotation') throw invalid('it is not a VOC annotation: <annotation> … </annotation> is expected')
  const objects = childrenOf(root, 'object')
  const names = objects.map((object) => childrenOf(object, 'name')[0]?.text.trim() ?? '').filter((name) => name !== '')
  return { names, nameless: objects.length - names.length }
}

const childrenOf = (element: XmlElement, name: string): XmlElement[] =>
  element.children.filter((child): child is XmlElement => child instanceof XmlElement && child.name === name)

/**
 * The root of an XML document. The parser does not read document type declarations: an entity that a file defines is unknown, so that no
 * file can name another one or grow when it is read.
 */
function parse(text: string): XmlElement | null {
  try {
    return parseXml(text).root
  } catch (error) {
    throw invalid(`it is not well-formed XML (${messageOf(error).split('\n')[0]})`) // the message ends with line and column
  }
}

import Ajv, { type ErrorObject } from 'ajv/dist/2020.js'
import { invalid, show, unknownWord } from 'clip-es/support'
import { questionSchema, type Schema } from './schema.js'

const ajv = new Ajv({ allErrors: false, verbose: true, strict: true, allowUnionTypes: true })

/** Where a value lies in a request: `crf.rounds`, `classes[2].name`. */
const nameOf = ({ instancePath }: ErrorObject): string =>
  instancePath
    .slice(1)
    .replace(/\/(\d+)/g, '[$1]')
    .replaceAll('/', '.') || 'the request'

const kinds: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  integer: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a text',
}

/** What a schema takes, for people. */
function expected(schema: Schema): string {
  if (schema.const !== undefined) return show(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.map(show).join(' or ')
  if (Array.isArray(schema.oneOf)) return schema.oneOf.map(expected).join(' or ')
  return kinds[schema.type as string] ?? 'another value'
}

/** An error of the schema, in the library's words. */
function errorOf(call: string, errors: readonly ErrorObject[], schema: Schema): Error {
  // Within a choice (oneOf) each alternative has an error of its own. What is wrong inside of one that fits says most, else the innermost choice.
  const choices = errors
    .filter(({ keyword }) => keyword === 'oneOf')
    .sort((a, b) => b.instancePath.length - a.instancePath.length)
  const inside = errors.find(({ keyword }) => keyword !== 'oneOf' && keyword !== 'type' && keyword !== 'const')
  const first = inside ?? choices[0] ?? (errors[0] as ErrorObject)
  const { keyword, params, data, parentSchema } = first
  const name = nameOf(first)
  if (keyword === 'additionalProperties') {
    const known = Object.keys((parentSchema as Schema).properties ?? schema.properties ?? {})
    const at = first.instancePath === '' ? call : `${call}: ${name}`
    return unknownWord(at, 'option', params.additionalProperty as string, known)
  }
  if (keyword === 'required') return invalid(`${call}: ${name} lacks ${show(params.missingProperty)}; add it`)
  if (keyword === 'enum' && typeof data === 'string')
    return unknownWord(call, name, data, (parentSchema as Schema).enum as readonly string[])
  if (keyword === 'minItems' || keyword === 'maxItems')
    return invalid(
      `${call}: ${name} has ${(data as unknown[]).length} elements; expected at ${keyword === 'minItems' ? 'least' : 'most'} ${params.limit}`,
    )
  return invalid(`${call}: ${name} is ${show(data)}; expected ${expected(parentSchema as Schema)}`)
}

/** A function that checks a value by a schema. It throws ERR_INVALID_ARG in the library's words. */
export function validator<T>(call: string, schema: Schema): (value: unknown) => T {
  const check = ajv.compile(schema)
  return (value) => {
    if (check(value)) return value as T
    throw errorOf(call, check.errors ?? [], schema)
  }
}

export const validateQuestion = validator('segment()', questionSchema)

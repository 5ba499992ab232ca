import { createHash } from 'node:crypto'
import { escapeXml } from 'clip-es/support'

// OpenAPI as a page that needs no script and nothing from elsewhere.

interface Parameter {
  name: string
  in: string
  schema?: Shape
  description?: string
}

interface Shape {
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  oneOf?: Shape[]
  items?: Shape
  format?: string
  description?: string
  properties?: Record<string, Shape>
}

type Contents = Record<string, { schema?: Shape }>

interface Operation {
  summary?: string
  description?: string
  tags?: string[]
  parameters?: Parameter[]
  requestBody?: { content: Contents }
  responses?: Record<string, { description?: string; content?: Contents }>
}

interface OpenApi {
  info: { title: string; description: string; version: string }
  paths: Record<string, Record<string, Operation>>
}

const style = `:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
section{border-top:1px solid var(--line);padding:.5rem 0}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;border-bottom:1px solid var(--line);padding:.25rem .5rem .25rem 0}
summary{cursor:pointer}
.method{background:var(--soft);border-radius:.25rem;padding:.1rem .4rem;font-weight:600}`

/** What a schema takes, in a few words. */
function kindOf(schema: Shape = {}): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  if (schema.oneOf) return schema.oneOf.map(kindOf).join(' | ')
  if (schema.type === 'array') return `${schema.items?.oneOf ? `(${kindOf(schema.items)})` : kindOf(schema.items)}[]`
  if (schema.type === 'object' && schema.properties) return `{ ${Object.keys(schema.properties).join(', ')} }`
  return schema.format ?? [schema.type ?? 'anything'].flat().join(' | ')
}

function table(rows: readonly [name: string, schema: Shape | undefined][]): string {
  const cells = rows.map(
    ([name, schema]) =>
      `<tr><td><code>${escapeXml(name)}</code></td><td><code>${escapeXml(kindOf(schema))}</code></td><td>${escapeXml(schema?.description ?? '')}</td></tr>`,
  )
  return `<table><thead><tr><th>Name</th><th>Type</th><th></th></tr></thead><tbody>${cells.join('')}</tbody></table>`
}

function contents(content: Contents): string {
  return Object.entries(content)
    .map(([type, { schema }]) => {
      const rows = schema?.properties
        ? table(Object.entries(schema.properties))
        : `<p>${escapeXml(schema?.description ?? '')}</p>`
      return `<details><summary><code>${escapeXml(type)}</code></summary>${rows}</details>`
    })
    .join('')
}

function operation(
  path: string,
  method: string,
  { summary = '', description, parameters, requestBody, responses = {} }: Operation,
): string {
  const id = `${method}${path.replace(/[^a-z0-9]+/gi, '-')}`
  const query: [string, Shape][] = (parameters ?? []).map((parameter) => [
    parameter.in === 'query' ? parameter.name : `${parameter.name} (${parameter.in})`,
    { ...parameter.schema, description: parameter.description ?? parameter.schema?.description },
  ])
  const answers = Object.entries(responses).map(
    ([status, response]) =>
      `<p><strong>${escapeXml(status)}</strong> ${escapeXml(response.description ?? '')}</p>${contents(response.content ?? {})}`,
  )
  return `<section id="${id}"><h2><span class="method">${method.toUpperCase()}</span> <code>${escapeXml(path)}</code></h2>
<p>${escapeXml(summary)}</p>${description ? `<p>${escapeXml(description)}</p>` : ''}
${query.length ? `<details><summary>Parameters</summary>${table(query)}</details>` : ''}
${requestBody ? `<h3>Body</h3>${contents(requestBody.content)}` : ''}
${answers.length ? `<h3>Answers</h3>${answers.join('')}` : ''}</section>`
}

/** The page, and the Content-Security-Policy that it needs. */
export function renderDocs(description: object): { html: string; policy: string } {
  const { info, paths } = description as OpenApi
  const sections = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, about]) => operation(path, method, about)),
  )
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeXml(info.title)} API</title>
<style>${style}</style></head><body><main><h1>${escapeXml(info.title)} API ${escapeXml(info.version)}</h1>
<p>${escapeXml(info.description)} For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
${sections.join('\n')}</main></body></html>
`
  const hash = createHash('sha256').update(style).digest('base64')
  return { html, policy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'` }
}

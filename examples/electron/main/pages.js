const { readFile } = require('node:fs/promises')
const { join } = require('node:path')

const folder = join(__dirname, '..', 'page')

/** Only these files are served. @type {Record<string, string>} */
const types = { html: 'text/html', css: 'text/css', mjs: 'text/javascript' }

/** Nothing but the application's own scripts and styles, and no connection to anywhere. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Answers requests for app://clip-es/… with the files of page/.
 * @param {Request} request
 */
async function servePage(request) {
  const { pathname } = new URL(request.url)
  const [, name, extension = ''] = /^\/([a-z_]+\.([a-z]+))$/.exec(pathname) ?? []
  const type = types[extension]
  if (name === undefined || type === undefined) return new Response(`there is no ${pathname}`, { status: 404 })
  try {
    const headers = {
      'content-type': `${type}; charset=utf-8`,
      'content-security-policy': policy,
      'x-content-type-options': 'nosniff',
    }
    return new Response(await readFile(join(folder, name)), { headers })
  } catch {
    return new Response(`there is no ${pathname}`, { status: 404 })
  }
}

module.exports = { servePage }

// Reads asar archives by paths such as …/app.asar/engine/index.js, as Electron does: a module to load before the program. Files that the
// packager left outside are read there. It has only what the library and the example call. Two things differ from Electron, because
// Node's loaders look at the disk: packages are found by a short version of Node's algorithm, and ES modules become CommonJS.
const fs = require('node:fs')
const Module = require('node:module')
const { dirname, join, sep } = require('node:path')
const asar = require('@electron/asar')
const esbuild = require('esbuild')

/** The archive and the entry that a path names, or undefined for a path outside archives. */
function find(path) {
  const [, archive, inside] = /^(.+?\.asar)(?:[\\/](.*))?$/.exec(String(path)) ?? []
  if (inside === undefined || process.noAsar) return undefined
  let entry = asar.getRawHeader(archive).header
  for (const name of inside.split(sep).filter(Boolean)) entry = entry?.files?.[name]
  return { archive, inside, entry }
}

const missing = (path) => Object.assign(new Error(`ENOENT: ${path} is not in the archive`), { code: 'ENOENT' })

/** Replaces a function of `owner` for paths in archives. */
function patch(owner, name, inArchive) {
  const original = owner[name]
  owner[name] = function (path, ...rest) {
    const found = find(path)
    return found ? inArchive(found, path, ...rest) : original.call(this, path, ...rest)
  }
}

function read({ archive, inside, entry }, path, options) {
  if (!entry || entry.files) throw missing(path)
  const bytes = asar.extractFile(archive, inside)
  const encoding = typeof options === 'string' ? options : options?.encoding
  return encoding ? bytes.toString(encoding) : bytes
}

function stat({ entry }, path, options) {
  if (!entry && options?.throwIfNoEntry === false) return undefined
  if (!entry) throw missing(path)
  return { isDirectory: () => Boolean(entry.files), isFile: () => !entry.files, size: entry.size }
}

patch(fs, 'readFileSync', read)
patch(fs, 'existsSync', ({ entry }) => entry !== undefined)
patch(fs, 'statSync', stat)
patch(fs, 'readdirSync', ({ entry }, path) => {
  if (!entry?.files) throw missing(path)
  return Object.keys(entry.files)
})
patch(fs.promises, 'readFile', async (...args) => read(...args))

const { dlopen } = process
process.dlopen = (module, path, ...rest) => {
  const found = find(path)
  if (!found) return dlopen.call(process, module, path, ...rest)
  // Electron would copy a packed add-on into a temporary file. No packager should need that.
  if (!found.entry?.unpacked) throw new Error(`${path} is not unpacked`)
  return dlopen.call(process, module, join(`${found.archive}.unpacked`, found.inside), ...rest)
}

const isFile = (path) => find(path)?.entry?.files === undefined && find(path)?.entry !== undefined
const asFile = (path) => ['', '.js', '.json', '.node', `${sep}index.js`].map((end) => path + end).find(isFile)
const packageOf = (folder) => JSON.parse(fs.readFileSync(join(folder, 'package.json'), 'utf8'))

/** The file of a package's `exports` for require(). */
function exported(target) {
  if (typeof target === 'string' || target === undefined) return target
  const condition = Object.keys(target).find((name) => ['node', 'require', 'default'].includes(name))
  return exported(target[condition])
}

function inPackage(folder, subpath) {
  const { main = 'index.js', exports } = packageOf(folder)
  if (exports === undefined) return asFile(join(folder, subpath === '.' ? main : subpath))
  const ofSubpath = typeof exports === 'object' && Object.keys(exports)[0].startsWith('.') ? exports[subpath] : exports
  const file = exported(ofSubpath)
  return file && asFile(join(folder, file))
}

function resolve(request, from) {
  if (/^\.{0,2}[\\/]/.test(request)) return asFile(request.startsWith('.') ? join(from, request) : request)
  const [, name, rest] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(request)
  for (let folder = from; folder.includes('.asar'); folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name)
    if (isFile(join(candidate, 'package.json'))) return inPackage(candidate, `.${rest}`)
  }
  return undefined
}

/** The package.json that says what a file is. */
function typeOf(file) {
  let folder = dirname(file)
  while (!isFile(join(folder, 'package.json'))) folder = dirname(folder)
  return packageOf(folder).type
}

const loadJs = Module._extensions['.js']
Module._extensions['.js'] = (module, file) => {
  if (!find(file) || typeOf(file) !== 'module') return loadJs(module, file)
  module._compile(esbuild.transformSync(fs.readFileSync(file, 'utf8'), { format: 'cjs' }).code, file)
}

const { _resolveFilename } = Module
Module._resolveFilename = function (request, parent, ...rest) {
  const from = parent?.filename ?? ''
  if (Module.isBuiltin(request) || !(find(from) || find(request))) return _resolveFilename.call(this, request, parent, ...rest)
  const file = resolve(request, dirname(from))
  if (file) return file
  throw Object.assign(new Error(`Cannot find module '${request}' from ${from}`), { code: 'MODULE_NOT_FOUND' })
}

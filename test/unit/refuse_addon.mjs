// scripts/test.mjs imports this before each file of this folder: a unit test that loads the native add-on fails.
const { dlopen } = process

process.dlopen = (module, file, ...flags) => {
  if (/clip[_-]es[^/\\]*\.node$/.test(file))
    throw new Error(`a unit test must not load the native add-on ${file}: move it to test/integration`)
  return dlopen.call(process, module, file, ...flags)
}

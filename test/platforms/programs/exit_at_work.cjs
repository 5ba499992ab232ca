// process.exit(7) while jobs run and wait: the process must end with that status and not crash.
const { load, photo, words } = require('./support.cjs')

async function main() {
  const segmenter = await load()
  const classes = await words(segmenter)
  for (let i = 0; i < 20; i++) segmenter.segment(photo(320, 240), classes).catch(() => {})
  setTimeout(() => process.exit(7), 50)
}
main()

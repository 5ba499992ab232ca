const clip = require('clip-es')
const photos = require('clip-es/photos')
const { useLibrary } = require('./use_library.cjs')

useLibrary(clip, photos)

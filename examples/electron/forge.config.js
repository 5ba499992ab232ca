// Electron Forge. Native code opens the add-on and the model by their paths, so they stay outside the archive.
module.exports = {
  packagerConfig: {
    asar: { unpack: '*.{node,pt,so}' },
    ignore: [
      /^\/(page\/)?tsconfig\.json$/,
      /^\/(README\.md|screenshot\.png|electron-builder\.config\.js|forge\.config\.js)$/,
      /^\/(out|release)(\/|$)/,
    ],
  },
  rebuildConfig: { onlyModules: [] }, // Node-API add-ons are not compiled for a version of Electron
  makers: [{ name: '@electron-forge/maker-zip' }],
}

// electron-builder. Native code opens the add-on and the model by their paths, so they stay outside the archive.
module.exports = {
  appId: 'org.example.clip-es',
  files: [
    'main',
    'engine',
    'page',
    'preload.js',
    'models',
    '!**/tsconfig.json',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: electron-builder fills it in
    '!node_modules/clip-es/prebuilds/!(${platform}-${arch})/**', // add-ons for other platforms
  ],
  asarUnpack: ['**/*.{node,pt,so}'],
  npmRebuild: false, // Node-API add-ons are not compiled for a version of Electron
  directories: { output: 'release' },
  linux: { target: 'AppImage', category: 'Graphics' },
  mac: { target: 'dmg', category: 'public.app-category.graphics-design' },
  win: { target: 'nsis' },
  electronFuses: {
    runAsNode: false,
    enableNodeOptionsEnvironmentVariable: false,
    enableNodeCliInspectArguments: false,
    onlyLoadAppFromAsar: true,
  },
}

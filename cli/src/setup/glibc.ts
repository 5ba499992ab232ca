/** Of this process, as '2.36'; undefined for another C library, such as musl. */
export function glibcVersion(): string | undefined {
  const report = process.report as { excludeNetwork?: boolean } & NodeJS.ProcessReport
  report.excludeNetwork = true // asking for it may wait for DNS
  return (report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime
}

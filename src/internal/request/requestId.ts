const names = ["x-request-id", "request-id", "x-dust-request-id", "x-cloud-trace-context", "cf-ray"]

/** The id under which the server, or a gateway in front of it, has logged a request. */
export const requestId = (headers: Readonly<Record<string, string | undefined>>): string | undefined => {
  const name = names.find((header) => headers[header] !== undefined && headers[header] !== "")
  return name === undefined ? undefined : headers[name]?.slice(0, 128)
}

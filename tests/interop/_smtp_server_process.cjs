// smtp-server at work: `node _smtp_server_process.cjs JOB` serves until it is ended.
const { SMTPServer } = require("smtp-server");
const fs = require("node:fs");
const path = require("node:path");
const { pipeline } = require("node:stream");
const util = require("node:util");

const job = JSON.parse(process.argv[2]);
const certificate = fs.readFileSync(job.certificate);
const log = fs.createWriteStream(job.log, { flags: "a" });
let counter = 0;

function write(_entry, text, ...values) {
  const line = util.format(text, ...values);
  log.write(`${new Date().toISOString()} ${line}\n`);
}

// The status is its own: it puts one in front that goes with the code.
function refusal({ code, text }) {
  return Object.assign(new Error(text), { responseCode: code });
}

function isTheUser(auth) {
  if (auth.username !== job.username) return false;
  if (auth.method === "XOAUTH2") return auth.accessToken === job.token;
  if (auth.method === "CRAM-MD5") return auth.validatePassword(job.password);
  return auth.password === job.password;
}

function onAuth(auth, _session, callback) {
  if (isTheUser(auth)) return callback(null, { user: auth.username });
  callback(null, { data: { status: "401", schemes: "bearer" } });
}

function onRcptTo({ address }, _session, callback) {
  if (address in job.replies) return callback(refusal(job.replies[address]));
  if (!address.endsWith(`@${job.domain}`))
    return callback(refusal({ code: 550, text: "Relay not permitted" }));
  callback();
}

// The octets, then the envelope: what has no envelope is not there.
function onData(stream, session, callback) {
  const name = `${Date.now()}-${String(counter++).padStart(9, "0")}`;
  const file = path.join(job.store, name);
  const { mailFrom, rcptTo } = session.envelope;
  const envelope = {
    sender: mailFrom.address,
    recipients: rcptTo.map((recipient) => recipient.address),
  };
  pipeline(stream, fs.createWriteStream(`${file}.eml`), (error) => {
    if (error || stream.sizeExceeded) return callback(error);
    fs.writeFileSync(`${file}.part`, JSON.stringify(envelope));
    fs.renameSync(`${file}.part`, `${file}.json`);
    callback(null, `OK: queued as ${name}`);
  });
}

function serve(port, options) {
  const server = new SMTPServer({
    name: `mx.${job.domain}`,
    key: certificate,
    cert: certificate,
    size: job.max_size,
    rejectOversized: true,
    authMethods: job.mechanisms,
    socketTimeout: job.idle * 1000,
    disableReverseLookup: true,
    hideENHANCEDSTATUSCODES: false,
    hideDSN: false,
    logger: { debug: write, info: write, warn: write, error: write },
    onAuth,
    onRcptTo,
    onData,
    ...options,
  });
  server.on("error", (error) => write({}, "%s", error));
  server.listen(port, job.host);
}

serve(job.submission, {});
serve(job.smtps, { secure: true });
serve(job.plain, { disabledCommands: ["AUTH", "STARTTLS"] });

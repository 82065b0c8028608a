// nodemailer at work: `node nodemailer.cjs JOB` prints what the messages cost.
const { createTransport } = require("nodemailer");
const { performance } = require("node:perf_hooks");

const job = JSON.parse(process.argv[2]);
const transport = createTransport({
  host: job.host,
  port: job.port,
  name: job.name,
  secure: false,
  ignoreTLS: true,
  pool: true,
  maxConnections: 1,
  maxMessages: Infinity,
});
const message = { envelope: { from: job.sender, to: job.to }, raw: job.raw };

async function batch(count) {
  for (let sent = 0; sent < count; sent++) await transport.sendMail(message);
}

async function main() {
  await batch(job.warm);
  const cpu = process.cpuUsage();
  const wall = performance.now();
  await batch(job.messages);
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - wall) / 1e3;
  console.log(
    JSON.stringify({ cpu: (used.user + used.system) / 1e6, wall: seconds }),
  );
  transport.close();
}

main();

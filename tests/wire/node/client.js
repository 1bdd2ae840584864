// A client of the published contract, written from metrics.proto alone: registers, streams, obeys, says that it ended.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [protos, address, jpeg] = process.argv.slice(2);
const definition = loader.loadSync("metrics.proto", { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true });
const { metrics } = grpc.loadPackageDefinition(definition);
const client = new metrics.MetricsService(address, grpc.credentials.createInsecure());
const session = { session_id: "node_001", client_name: "node_trainer", client_version: "2.0" };
const config = { total_epochs: 2, batches_per_epoch: 5, batch_size: 32, model_name: "net", class_names: ["cat", "dog"] };

client.RegisterTrainingSession({ ...session, config, timestamp_ms: Date.now() }, (error, answer) => {
  if (error) throw error;
  const acks = [];
  const commands = [];
  const stream = client.StreamMetrics();
  const say = (payload) => stream.write({ session_id: "node_001", timestamp_ms: Date.now(), ...payload });

  stream.on("data", (response) => {
    if (response.payload === "ack") acks.push(response.ack.batch_idx);
    if (response.payload === "command") {
      commands.push({ type: response.command.type, parameters: response.command.parameters });
      if (response.command.type === "PAUSE_TRAINING") say({ status_update: { status: "PAUSED", message: "as asked" } });
      if (response.command.type === "STOP_TRAINING") {
        say({ epoch_data: { epoch: 1, average_loss: 0.5, average_accuracy: 0.75 } });
        say({ status_update: { status: "COMPLETED", message: "all done" } });
        stream.end();
      }
    }
  });
  stream.on("error", (problem) => { throw problem; });
  stream.on("end", () => {
    process.stdout.write(JSON.stringify({ answer, acks, commands }) + "\n");
    client.close();
  });

  say({ status_update: { status: "RUNNING", message: "" } });
  say({ heartbeat: { timestamp_ms: Date.now(), sequence_number: 1 } });
  say({ performance_data: { current_fps: 12.5, average_fps: 11, resource_usage: { cpu_percent: 50, memory_mb: 900, gpu_percent: 70, gpu_memory_mb: 4000 } } });
  for (let k = 0; k < 5; k++) {
    say({
      batch_data: {
        epoch: 1, batch_idx: k, batch_loss: 1 / (k + 1),
        images: [{ image_bytes: Buffer.from(jpeg, "base64") }],
        predictions: [{ predicted_class: k % 2, confidence: 0.9 }],
        ground_truth: [1],
      },
    });
  }
});

"""Which keys an Alertmanager file may have, and which it must: as tables, from its documentation of configuration.

A `NAME_file` beside `NAME` always excludes the other.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOP = _words("global route inhibit_rules receivers templates mute_time_intervals time_intervals tracing")
NOT_TAKEN = {  # keys of the top that mean nothing here, and why
    "templates": "messages have a form of their own; see `title`, `text` and `fields` of receivers",
    "tracing": "there are no traces",
}
GLOBAL = _words(
    """
    resolve_timeout http_config jira_api_url
    smtp_from smtp_hello smtp_smarthost smtp_auth_username smtp_auth_password smtp_auth_password_file smtp_auth_secret
    smtp_auth_secret_file smtp_auth_identity smtp_require_tls smtp_tls_config smtp_force_implicit_tls
    slack_api_url slack_api_url_file slack_app_token slack_app_token_file slack_app_url pagerduty_url
    opsgenie_api_url opsgenie_api_key opsgenie_api_key_file victorops_api_url victorops_api_key victorops_api_key_file
    wechat_api_url wechat_api_secret wechat_api_secret_file wechat_api_corp_id webex_api_url
    telegram_api_url telegram_bot_token telegram_bot_token_file mattermost_webhook_url mattermost_webhook_url_file
    rocketchat_api_url rocketchat_token rocketchat_token_file rocketchat_token_id rocketchat_token_id_file
    """
)
STRUCTURED = _words(  # keys that hold a mapping or a list; all others hold one text, number or truth value
    """
    http_config smtp_tls_config tls_config headers threading fields actions mrkdwn_in threaded_options details images
    links responders custom_fields sigv4 attributes labels attachments props payload
    """
)
_OF_ALL = "send_resolved http_config "
KINDS: dict[str, frozenset[str]] = {
    kind: _words(_OF_ALL + keys)
    for kind, keys in {
        "slack": """
            api_url api_url_file app_token app_token_file app_url channel username color title title_link pretext text
            fields short_fields footer fallback callback_id icon_emoji icon_url image_url thumb_url link_names mrkdwn_in
            actions message_text update_message message_strategy threaded_options timeout""",
        "pagerduty": """
            service_key service_key_file routing_key routing_key_file url client client_url description details images
            links source severity class component group timeout""",
        "webhook": "url url_file max_alerts timeout payload",
        "email": """
            to from hello smarthost auth_username auth_password auth_password_file auth_secret auth_secret_file
            auth_identity headers html text require_tls tls_config force_implicit_tls threading""",
        "opsgenie": """
            api_key api_key_file api_url message description source details entity responders actions tags note priority
            update_alerts""",
        "victorops": """
            api_key api_key_file api_url routing_key message_type state_message entity_display_name monitoring_tool
            custom_fields""",
        "wechat": """
            api_secret api_secret_file corp_id message api_url to_user to_party to_tag agent_id message_type""",
        "pushover": """
            user_key user_key_file token token_file title message url url_title device sound priority retry expire ttl
            html monospace""",
        "sns": "api_url sigv4 topic_arn phone_number target_arn subject message attributes",
        "telegram": """
            api_url bot_token bot_token_file chat_id chat_id_file message_thread_id message disable_notifications
            parse_mode""",
        "discord": "webhook_url webhook_url_file content title message username avatar_url",
        "webex": "api_url message room_id",
        "msteams": "webhook_url webhook_url_file title summary text",
        "msteamsv2": "webhook_url webhook_url_file title text",
        "jira": """
            api_url api_type project summary description labels priority issue_type reopen_transition
            resolve_transition wont_fix_resolution reopen_duration fields""",
        "rocketchat": """
            api_url token_id token_id_file token token_file channel color title title_link text fields short_fields
            emoji icon_url image_url thumb_url link_names actions""",
        "mattermost": """
            webhook_url webhook_url_file channel username text icon_url icon_emoji attachments fallback color pretext
            author_name author_link author_icon title title_link thumb_url footer footer_icon image_url fields type
            props priority""",
        "incidentio": "url url_file alert_source_token alert_source_token_file max_alerts timeout",
    }.items()
}

# What each entry must have: one of these keys, or one of the global ones behind the bar.
NEEDS: dict[str, tuple[str, ...]] = {
    "slack": (
        """api_url api_url_file app_token app_token_file |
        slack_api_url slack_api_url_file slack_app_token slack_app_token_file""",
    ),
    "pagerduty": ("routing_key routing_key_file service_key service_key_file",),
    "webhook": ("url url_file",),
    "email": ("to", "smarthost | smtp_smarthost", "from | smtp_from"),
    "opsgenie": ("api_key api_key_file | opsgenie_api_key opsgenie_api_key_file",),
    "victorops": ("routing_key", "api_key api_key_file | victorops_api_key victorops_api_key_file"),
    "wechat": (
        "api_secret api_secret_file | wechat_api_secret wechat_api_secret_file",
        "corp_id | wechat_api_corp_id",
    ),
    "pushover": ("user_key user_key_file", "token token_file"),
    "sns": ("topic_arn phone_number target_arn",),
    "telegram": (
        "bot_token bot_token_file | telegram_bot_token telegram_bot_token_file",
        "chat_id chat_id_file",
    ),
    "discord": ("webhook_url webhook_url_file",),
    "webex": ("room_id", "http_config"),
    "msteams": ("webhook_url webhook_url_file",),
    "msteamsv2": ("webhook_url webhook_url_file",),
    "jira": ("project", "issue_type", "api_url | jira_api_url"),
    "rocketchat": (
        "token token_file | rocketchat_token rocketchat_token_file",
        "token_id token_id_file | rocketchat_token_id rocketchat_token_id_file",
    ),
    "mattermost": ("webhook_url webhook_url_file | mattermost_webhook_url mattermost_webhook_url_file",),
    "incidentio": ("url url_file",),
}
